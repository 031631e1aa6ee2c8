-- Somebody gave an address at the checkout and did not finish it then. Who buys at once has no row in Shopify's table.
select
    checkout_id,
    person_id,
    cart_id,
    created_at as started_at,
    url as recovery_url,
    currency,
    total as value,
    subtotal,
    discount,
    tax,
    items_count,
    items
from {{ ref('carts') }}
