-- Who is who. One person is one row of `people`, whatever number of accounts and guest orders they have:
--   * accounts and guest orders with the same address (without case and outer blanks) are one person;
--   * an account without an address is a person of its own; a guest without an address is nobody.
-- A person keeps the id that came first: that of the oldest account, or, for who bought as a guest before opening
-- one, `G` and half of the address's md5 (so no address stands in an id). So no second profile appears when a guest
-- opens an account, or an account opens a second one. Every other model finds a person through this one.
-- What it cannot do: two people who turn out to be one, by an address that changes, stay two profiles until
-- profiles can be merged.
with records as (
    select
        'account' as kind,
        customer_id,
        {{ normalize_email('email') }} as email,
        customer_id as own_id,
        created_at as since
    from {{ source('raw', 'customers') }}

    union all

    -- by the time of loading: an old order that arrives late must not rename anybody
    select
        'guest' as kind,
        null as customer_id,
        {{ normalize_email('guest_email') }} as email,
        'G' || substr(md5({{ normalize_email('guest_email') }}), 1, 16) as own_id,
        min(loaded_at) as since
    from {{ source('raw', 'orders') }}
    where customer_id is null and {{ normalize_email('guest_email') }} is not null
    group by {{ normalize_email('guest_email') }}
)

select
    kind,
    customer_id,
    email,
    first_value(own_id) over (partition by coalesce(email, own_id) order by since, own_id) as person_id
from records
