-- One row a cancellation. It names no order: it is linked to the latest earlier order in which the same customer
-- bought the same product in at least that quantity; where lines point to several, the one of the largest amount wins.
-- Where none exists, order_id stays empty, and `unlinked_because` says why: such a refund is held as an orphan (`refund_of` in
-- syncs/retail.yml), because it could not be taken off any purchase that Customer.io has.
with refunds as (
    select
        invoice as refund_id,
        max(customer_id) as customer_id,
        min(invoiced_at) as refunded_at,
        -sum(amount) as value,
        count(*) as lines_count,
        count(*) filter (where line_kind = 'product') as products_count
    from {{ ref('lines') }}
    where kind = 'refund'
    group by invoice
),

candidates as (
    select
        back.invoice as refund_id,
        back.row_id,
        -back.amount as amount,
        bought.invoice as order_id,
        row_number() over (
            partition by back.row_id order by bought.invoiced_at desc, bought.row_id desc
        ) as place
    from {{ ref('lines') }} as back
    inner join {{ ref('lines') }} as bought
        on back.customer_id = bought.customer_id
        and back.sku = bought.sku
        and bought.kind = 'order'
        and bought.invoiced_at <= back.invoiced_at
        and bought.quantity >= -back.quantity
    where back.kind = 'refund' and back.line_kind = 'product'
),

links as (
    select
        refund_id,
        order_id,
        row_number() over (partition by refund_id order by sum(amount) desc, order_id) as place
    from candidates
    where place = 1
    group by refund_id, order_id
)

select
    refunds.*,
    'GBP' as currency,
    links.order_id,
    case
        when links.order_id is not null then null
        when refunds.products_count = 0 then 'no product'
        else 'no earlier purchase'
    end as unlinked_because
from refunds
left join links on refunds.refund_id = links.refund_id and links.place = 1
