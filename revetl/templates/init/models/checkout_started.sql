select cart_id, person_id, checkout_at, currency, value, items
from {{ ref('carts') }}
where checkout_at is not null
