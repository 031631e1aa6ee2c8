select customer_id, orders_count as points from {{ ref('customers') }}
