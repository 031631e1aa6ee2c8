-- Who is who. One person is one row of `people`, whatever number of accounts, guest orders and checkouts they have:
--   * accounts, guest orders and guest checkouts with one address (without case and outer blanks) are one person;
--   * an account without an address is a person of its own; a guest without an address is nobody.
-- A person keeps the id that came first: that of the oldest account, or, for who was a guest before opening one, `G` and half of
-- the address's md5 (so no address stands in an id). Every other model finds a person here, by `contact`: the account's id,
-- else the address.
-- What it cannot do: two people who turn out to be one, by an address that changes, stay two profiles until they are merged.
with contacts as (
    select customer_id, email, created_at from {{ ref('stg_orders') }}
    union all
    select customer_id, email, created_at from {{ ref('stg_checkouts') }}
),

accounts as (
    select customer_id, email, created_at as since from {{ ref('stg_customers') }}
    union all
    -- an account whose own row has not arrived, or was erased: known by what it did
    select customer_id, max(email) as email, min(created_at) as since
    from contacts
    where customer_id is not null and customer_id not in (select customer_id from {{ ref('stg_customers') }})
    group by customer_id
),

records as (
    select 'account' as kind, customer_id as contact, customer_id, email, customer_id as own_id, since
    from accounts
    union all
    select
        'guest' as kind,
        email as contact,
        null as customer_id,
        email,
        'G' || substr(md5(email), 1, 16) as own_id,
        min(created_at) as since
    from contacts
    where customer_id is null and email is not null
    group by email
)

select
    kind,
    contact,
    customer_id,
    email,
    first_value(own_id) over (partition by coalesce(email, own_id) order by since, own_id) as person_id
from records
