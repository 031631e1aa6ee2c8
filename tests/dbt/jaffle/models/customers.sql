{{ config(materialized='table') }}
select
    c.id as customer_id,
    c.first_name,
    c.email,
    cast(count(o.order_id) as bigint) as orders_count
from {{ ref('raw_customers') }} c
left join {{ ref('stg_orders') }} o on o.customer_id = c.id
group by 1, 2, 3
