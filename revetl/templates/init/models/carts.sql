-- Carts with what is in them, and whose they are: nobody's where the visitor had no account. Both cart events are
-- made of it.
with lines as (
    select
        cart_id,
        {{ items('sku', 'name', 'quantity', 'price', 'line') }} as items,
        cast(sum(quantity * price) as decimal(12, 2)) as value
    from {{ source('raw', 'cart_items') }}
    group by cart_id
)

select
    carts.cart_id,
    identities.person_id,
    carts.created_at,
    carts.currency,
    lines.value,
    lines.items
from {{ source('raw', 'carts') }} as carts
inner join lines on carts.cart_id = lines.cart_id
left join {{ ref('identities') }} as identities
    on carts.customer_id = identities.customer_id and identities.kind = 'account'
