select
    checkouts.checkout_id,
    checkouts.started_at,
    carts.cart_id,
    carts.person_id,
    carts.currency,
    carts.value,
    carts.items
from {{ source('raw', 'checkouts') }} as checkouts
inner join {{ ref('carts') }} as carts on checkouts.cart_id = carts.cart_id
