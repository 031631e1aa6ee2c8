-- Who is who. One person is one row of `people`, whatever number of accounts and guest orders they have:
--   * accounts with the same address (without case and outer blanks) are one person: the oldest account names it;
--   * a guest order belongs to the account with its address, else to a person of its own, named by the address.
-- Every other model finds a person through this one, so that the rule stands in one place.
with accounts as (
    select
        customer_id,
        {{ normalize_email('email') }} as email,
        created_at
    from {{ source('raw', 'customers') }}
),

named as (
    select
        customer_id,
        email,
        first_value(customer_id) over (
            partition by coalesce(email, customer_id) order by created_at, customer_id
        ) as person_id
    from accounts
),

guests as (
    select distinct {{ normalize_email('guest_email') }} as email
    from {{ source('raw', 'orders') }}
    where customer_id is null and {{ normalize_email('guest_email') }} is not null
)

select 'account' as kind, customer_id, email, person_id
from named

union all

select 'guest' as kind, null as customer_id, guests.email, 'G' || substr(md5(guests.email), 1, 16) as person_id
from guests
where guests.email not in (select email from named where email is not null)
