-- Orders with the person they belong to; null where a guest gave no address.
select
    orders.*,
    coalesce(accounts.person_id, guests.person_id) as person_id
from {{ source('raw', 'orders') }} as orders
left join {{ ref('identities') }} as accounts
    on orders.customer_id = accounts.customer_id and accounts.kind = 'account'
left join (
    select email, min(person_id) as person_id
    from {{ ref('identities') }}
    where email is not null
    group by email
) as guests
    on orders.customer_id is null and {{ normalize_email('orders.guest_email') }} = guests.email
