-- Orders with the person they belong to; null where a guest gave no address.
select
    orders.*,
    coalesce(accounts.person_id, guests.person_id) as person_id
from {{ source('raw', 'orders') }} as orders
left join {{ ref('identities') }} as accounts
    on accounts.kind = 'account' and orders.customer_id = accounts.customer_id
left join {{ ref('identities') }} as guests
    on guests.kind = 'guest' and orders.customer_id is null and {{ normalize_email('orders.guest_email') }} = guests.email
