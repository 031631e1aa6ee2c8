select cart_id, person_id, created_at, currency, value, items
from {{ ref('carts') }}
