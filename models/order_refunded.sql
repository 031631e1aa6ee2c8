-- Refunds, linked to their order. One whose order has not arrived yet has no person: it is skipped until then.
select
    refunds.refund_id,
    refunds.order_id,
    orders.person_id,
    refunds.refunded_at,
    refunds.amount as value,
    orders.currency,
    orders.total as order_value,
    refunds.amount >= orders.total as full_refund,
    refunds.reason
from {{ source('raw', 'refunds') }} as refunds
left join {{ ref('orders') }} as orders on refunds.order_id = orders.order_id
