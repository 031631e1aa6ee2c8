-- One row a person: what journeys segment by. Amounts are in the money of the person's latest purchase, and only of purchases in it:
-- two currencies are never added up.
with persons as (
    select person_id, max(email) as email
    from {{ ref('identities') }}
    group by person_id
),

-- the oldest account speaks for the person; who said no on any account has said no
accounts as (
    select
        identities.person_id,
        customers.phone,
        customers.first_name,
        customers.last_name,
        customers.created_at,
        bool_and(customers.email_consent) over (partition by identities.person_id) as email_consent,
        row_number() over (
            partition by identities.person_id order by customers.created_at, customers.customer_id
        ) as place
    from {{ ref('identities') }} as identities
    inner join {{ ref('stg_customers') }} as customers on identities.customer_id = customers.customer_id
),

contacts as (
    select contact, created_at, country, locale, accepts_marketing from {{ ref('stg_orders') }}
    union all
    select contact, created_at, country, locale, accepts_marketing from {{ ref('stg_checkouts') }}
),

-- what orders and checkouts say that an account does not; a country from the latest that has one
latest as (
    select
        identities.person_id,
        contacts.country,
        contacts.locale,
        contacts.accepts_marketing,
        min(contacts.created_at) over (partition by identities.person_id) as first_seen_at,
        row_number() over (
            partition by identities.person_id
            order by contacts.created_at desc, contacts.country, contacts.locale, contacts.accepts_marketing
        ) as place,
        row_number() over (
            partition by identities.person_id
            order by case when contacts.country is null then 1 else 0 end, contacts.created_at desc, contacts.country, contacts.locale
        ) as place_with_country
    from contacts
    inner join {{ ref('identities') }} as identities on contacts.contact = identities.contact
),

purchases as (
    select
        person_id,
        order_id,
        ordered_at,
        total,
        currency,
        first_value(currency) over (partition by person_id order by ordered_at desc, order_id desc) as person_currency
    from {{ ref('orders') }}
    where person_id is not null and is_purchase
),

order_facts as (
    select
        person_id,
        person_currency as currency,
        count(*) as orders_count,
        sum(case when currency = person_currency then total end) as gross_value,
        sum(case when currency = person_currency then 1 end) as counted_orders,
        min(ordered_at) as first_order_at,
        max(ordered_at) as last_order_at
    from purchases
    group by person_id, person_currency
),

refund_facts as (
    select purchases.person_id, sum(refunds.total) as refunded_amount
    from {{ ref('stg_refunds') }} as refunds
    inner join purchases on refunds.order_id = purchases.order_id and purchases.currency = purchases.person_currency
    group by purchases.person_id
)

select
    persons.person_id,
    persons.email,
    accounts.phone,
    accounts.first_name,
    accounts.last_name,
    located.country,
    located.locale,
    -- who was a guest first begins with the first order or checkout
    least(accounts.created_at, latest.first_seen_at) as created_at,
    coalesce(accounts.email_consent, latest.accepts_marketing) as email_consent,
    coalesce(order_facts.orders_count, 0) as orders_count,
    order_facts.currency,
    cast(coalesce(order_facts.gross_value, 0) - coalesce(refund_facts.refunded_amount, 0) as decimal(14, 2)) as lifetime_value,
    cast(coalesce(refund_facts.refunded_amount, 0) as decimal(14, 2)) as refunded_amount,
    cast(order_facts.gross_value / nullif(order_facts.counted_orders, 0) as decimal(14, 2)) as average_order_value,
    order_facts.first_order_at,
    order_facts.last_order_at
from persons
left join accounts on persons.person_id = accounts.person_id and accounts.place = 1
left join latest on persons.person_id = latest.person_id and latest.place = 1
left join latest as located on persons.person_id = located.person_id and located.place_with_country = 1
left join order_facts on persons.person_id = order_facts.person_id
left join refund_facts on persons.person_id = refund_facts.person_id
