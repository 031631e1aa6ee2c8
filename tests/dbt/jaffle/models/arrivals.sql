-- depends_on: {{ ref("raw_orders") }}
select id as order_id, customer_id, ordered_at from {{ source("lake", "landed_orders") }}
