select customer_id, orders_count * 10 as points from {{ ref('customers') }}
