-- Money back, in full or in part, linked to its order. A refund of nothing (an item that was taken off, or only put back on the
-- shelf) is none, nor is one of an order that never was a purchase or of a test. One whose order has not arrived has no person:
-- it is counted as skipped, and sent once the order is there.
select
    refunds.refund_id,
    refunds.order_id,
    orders.person_id,
    refunds.refunded_at,
    refunds.total as value,
    refunds.shipping,
    refunds.items_count,
    orders.currency,
    orders.total as order_value,
    refunds.total >= orders.total as full_refund
from {{ ref('stg_refunds') }} as refunds
left join {{ ref('orders') }} as orders on refunds.order_id = orders.order_id
where (refunds.total is null or refunds.total > 0)
    and coalesce(orders.is_purchase, true)
    and refunds.order_id not in (
        select cast(id as varchar)
        from {{ fivetran('order', {'id': 'bigint', 'test': 'boolean', '_fivetran_deleted': 'boolean'}) }} as left_out
        where coalesce(test, false) or coalesce(_fivetran_deleted, false)
    )
