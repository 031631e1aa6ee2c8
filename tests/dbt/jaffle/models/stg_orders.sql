{{ config(materialized='ephemeral') }}
select
    id as order_id,
    customer_id,
    ordered_at,
    {{ cents('amount_cents') }} as amount
from {{ ref('raw_orders') }}
