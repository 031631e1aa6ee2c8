-- One row a customer. Seven customers moved: the country of the latest invoice counts.
with facts as (
    select
        customer_id,
        count(distinct invoice) filter (where kind = 'order') as orders_count,
        count(distinct invoice) filter (where kind = 'refund') as refunds_count,
        coalesce(sum(amount) filter (where kind = 'order'), 0) as gross_value,
        -coalesce(sum(amount) filter (where kind = 'refund'), 0) as refunded_amount,
        sum(amount) as lifetime_value,
        min(invoiced_at) filter (where kind = 'order') as first_order_at,
        max(invoiced_at) filter (where kind = 'order') as last_order_at
    from {{ ref('lines') }}
    where customer_id is not null
    group by customer_id
),

latest as (
    select
        customer_id,
        country,
        row_number() over (partition by customer_id order by invoiced_at desc, row_id desc) as place
    from {{ ref('lines') }}
    where customer_id is not null
)

select
    facts.*,
    countries.code as country,
    latest.country as country_name
from facts
inner join latest on facts.customer_id = latest.customer_id and latest.place = 1
left join {{ ref('countries') }} as countries on latest.country = countries.name
