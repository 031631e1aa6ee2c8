-- One row an order: the canonical purchase.
-- Lines of one product at one price are one item; exact duplicate lines count each time, as they do in the shop's
-- own totals. Fees and postage are amounts, not items: value = subtotal + shipping - discount + other, exactly.
-- The longest invoice has 1,114 lines and would be over 32 kB as one event, so an event lists the 200 largest items (at
-- most 120 bytes each, so 24 kB) and says how many there were.
with orders as (
    select
        invoice as order_id,
        max(customer_id) as customer_id,
        -- some invoices span two minutes: the first counts
        min(invoiced_at) as ordered_at,
        sum(amount) as value,
        coalesce(sum(amount) filter (where line_kind = 'product'), 0) as subtotal,
        coalesce(sum(amount) filter (where line_kind = 'shipping'), 0) as shipping,
        -coalesce(sum(amount) filter (where line_kind = 'discount'), 0) as discount,
        coalesce(sum(amount) filter (where line_kind = 'other'), 0) as other
    from {{ ref('lines') }}
    where kind = 'order'
    group by invoice
),

items as (
    select
        invoice,
        sku,
        price,
        max(name) as name,
        sum(quantity) as quantity,
        row_number() over (partition by invoice order by sum(amount) desc, sku, price) as place,
        count(*) over (partition by invoice) as items_count
    from {{ ref('lines') }}
    where kind = 'order' and line_kind = 'product'
    group by invoice, sku, price
),

listed as (
    select
        invoice,
        max(items_count) as items_count,
        to_json(list({'sku': sku, 'name': name, 'quantity': quantity, 'price': price} order by place)) as items
    from items
    where place <= 200
    group by invoice
)

select
    orders.*,
    'GBP' as currency,
    coalesce(listed.items_count, 0) as items_count,
    coalesce(listed.items_count, 0) > 200 as items_truncated,
    coalesce(listed.items, '[]') as items
from orders
left join listed on orders.order_id = listed.invoice
