-- One row a person: what journeys segment by. Amounts are in the currency of the person's country.
with profiles as (
    select
        identities.person_id,
        customers.first_name,
        customers.country,
        customers.created_at,
        row_number() over (partition by identities.person_id order by customers.created_at, customers.customer_id) as place,
        -- who said no on any of their accounts has said no
        bool_and(customers.sms_consent) over (partition by identities.person_id) as sms_consent,
        bool_and(customers.email_consent) over (partition by identities.person_id) as email_consent
    from {{ ref('identities') }} as identities
    inner join {{ source('raw', 'customers') }} as customers
        on identities.customer_id = customers.customer_id
),

persons as (
    select person_id, max(email) as email
    from {{ ref('identities') }}
    group by person_id
),

-- the oldest account speaks for the person; guests have none
accounts as (
    select
        persons.person_id,
        persons.email,
        profiles.first_name,
        profiles.country,
        profiles.created_at,
        profiles.sms_consent,
        profiles.email_consent
    from persons
    left join profiles on persons.person_id = profiles.person_id and profiles.place = 1
),

order_facts as (
    select
        person_id,
        count(*) as orders_count,
        sum(total) as gross_value,
        min(ordered_at) as first_order_at,
        max(ordered_at) as last_order_at
    from {{ ref('orders') }}
    where person_id is not null
    group by person_id
),

refund_facts as (
    select orders.person_id, sum(refunds.amount) as refunded_amount
    from {{ source('raw', 'refunds') }} as refunds
    inner join {{ ref('orders') }} as orders on refunds.order_id = orders.order_id
    where orders.person_id is not null
    group by orders.person_id
),

spending as (
    select
        orders.person_id,
        items.category,
        row_number() over (
            partition by orders.person_id order by sum(items.quantity) desc, items.category
        ) as place
    from {{ source('raw', 'order_items') }} as items
    inner join {{ ref('orders') }} as orders on items.order_id = orders.order_id
    where orders.person_id is not null
    group by orders.person_id, items.category
)

select
    accounts.person_id,
    accounts.email,
    accounts.first_name,
    accounts.country,
    -- who was a guest first begins with the first order; without a date Customer.io would take the request's time
    least(accounts.created_at, order_facts.first_order_at) as created_at,
    coalesce(order_facts.orders_count, 0) as orders_count,
    cast(coalesce(order_facts.gross_value, 0) - coalesce(refund_facts.refunded_amount, 0) as decimal(14, 2)) as lifetime_value,
    cast(coalesce(refund_facts.refunded_amount, 0) as decimal(14, 2)) as refunded_amount,
    -- before refunds; null, and so not sent, where there is no order
    cast(order_facts.gross_value / nullif(order_facts.orders_count, 0) as decimal(14, 2)) as average_order_value,
    order_facts.first_order_at,
    order_facts.last_order_at,
    spending.category as preferred_category,
    accounts.sms_consent,
    accounts.email_consent
from accounts
left join order_facts on accounts.person_id = order_facts.person_id
left join refund_facts on accounts.person_id = refund_facts.person_id
left join spending on accounts.person_id = spending.person_id and spending.place = 1
