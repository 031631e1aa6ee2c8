-- The one canonical purchase event: one row an order, with Shopify's own amounts beside the total. An order whose lines have not
-- arrived is refused by its contract, and sent once they have.
with lines as (
    select
        order_id,
        {{ json_rows({'sku': 'sku', 'name': 'name', 'quantity': 'quantity', 'price': 'price', 'gift_card': 'gift_card'}, 'line') }} as items
    from {{ ref('stg_order_lines') }}
    where line <= 100
    group by order_id
),

counts as (
    select
        order_id,
        count(*) as items_count,
        -- money for a voucher is paid twice in the sum of all orders: when it is bought, and by what it buys
        coalesce(sum(case when gift_card then quantity * price end), 0) as gift_card_value
    from {{ ref('stg_order_lines') }}
    group by order_id
),

codes as (
    select cast(order_id as varchar) as order_id, array_agg(code order by "index") as discount_codes
    from {{ fivetran('order_discount_code', {'order_id': 'bigint', '"index"': 'bigint', 'code': 'varchar'}) }} as found
    where code is not null
    group by order_id
)

select
    orders.order_id,
    orders.person_id,
    orders.order_name,
    orders.ordered_at,
    orders.cart_id,
    orders.checkout_id,
    orders.source,
    orders.currency,
    orders.total as value,
    orders.subtotal,
    orders.discount,
    orders.shipping,
    orders.tax,
    orders.taxes_included,
    {{ amount('counts.gift_card_value') }} as gift_card_value,
    orders.presentment_currency,
    orders.presentment_total as presentment_value,
    codes.discount_codes,
    counts.items_count,
    lines.items
from {{ ref('orders') }} as orders
left join lines on orders.order_id = lines.order_id
left join counts on orders.order_id = counts.order_id
left join codes on orders.order_id = codes.order_id
where orders.is_purchase
