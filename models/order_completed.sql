-- The one canonical purchase event: one row an order, with raw amounts beside the total. An order whose lines are not
-- there yet is refused by its contract, and sent once they are.
with lines as (
    select order_id, {{ items('sku', 'name', 'quantity', 'price', 'line') }} as items
    from {{ source('raw', 'order_items') }}
    group by order_id
)

select
    orders.order_id,
    orders.person_id,
    orders.cart_id,
    orders.ordered_at,
    orders.currency,
    orders.subtotal,
    orders.discount,
    orders.shipping,
    orders.tax,
    orders.total as value,
    lines.items
from {{ ref('orders') }} as orders
left join lines on orders.order_id = lines.order_id
