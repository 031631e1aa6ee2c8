-- One row a refund, and what it gave back: for lines, and beside them (shipping, corrections), which Shopify writes as
-- negative adjustments. `total` is NULL as long as none of it has arrived.
with lines as (
    select refund_id, sum({{ amount('coalesce(subtotal, 0) + coalesce(total_tax, 0)') }}) as amount, sum(quantity) as quantity
    from {{ fivetran('order_line_refund', {
        'refund_id': 'bigint', 'subtotal': 'double precision', 'total_tax': 'double precision', 'quantity': 'double precision'
    }) }} as found
    group by refund_id
),

adjustments as (
    select
        refund_id,
        -sum({{ amount('coalesce(amount, 0) + coalesce(tax_amount, 0)') }}) as amount,
        -sum(case when kind = 'shipping_refund' then {{ amount('coalesce(amount, 0) + coalesce(tax_amount, 0)') }} end) as shipping
    from {{ fivetran('order_adjustment', {
        'refund_id': 'bigint', 'amount': 'double precision', 'tax_amount': 'double precision', 'kind': 'varchar'}) }} as found
    group by refund_id
)

select
    cast(refunds.id as varchar) as refund_id,
    cast(refunds.order_id as varchar) as order_id,
    coalesce(refunds.processed_at, refunds.created_at) as refunded_at,
    -- the GraphQL version says it in one number
    coalesce(
        {{ amount('refunds.total_refunded_set_shop_amount') }},
        case
            when lines.refund_id is not null or adjustments.refund_id is not null
                then coalesce(lines.amount, 0) + coalesce(adjustments.amount, 0)
        end
    ) as total,
    adjustments.shipping,
    cast(lines.quantity as integer) as items_count
from {{ fivetran('refund', {
    'id': 'bigint', 'order_id': 'bigint', 'created_at': 'timestamp with time zone',
    'processed_at': 'timestamp with time zone', 'total_refunded_set_shop_amount': 'double precision'}) }} as refunds
left join lines on refunds.id = lines.refund_id
left join adjustments on refunds.id = adjustments.refund_id
