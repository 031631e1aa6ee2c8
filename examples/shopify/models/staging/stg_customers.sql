-- Accounts, as Shopify has them. Who was erased there is no account any more.
select
    cast(id as varchar) as customer_id,
    {{ normalize_email('email') }} as email,
    -- Shopify writes +15550100, but has older ones as they were typed: those are no numbers that can be texted
    case when trim(phone) similar to '\+[1-9][0-9]{6,14}' then trim(phone) end as phone,
    nullif(trim(first_name), '') as first_name,
    nullif(trim(last_name), '') as last_name,
    created_at,
    -- the newer column has more states than two: pending, unsubscribed, redacted; only `subscribed` is a yes
    coalesce(lower(trim(email_marketing_consent_state)) = 'subscribed', accepts_marketing) as email_consent
from {{ fivetran('customer', {
    'id': 'bigint', 'email': 'varchar', 'phone': 'varchar', 'first_name': 'varchar', 'last_name': 'varchar',
    'created_at': 'timestamp with time zone', 'email_marketing_consent_state': 'varchar', 'accepts_marketing': 'boolean',
    '_fivetran_deleted': 'boolean'}) }} as customers
where coalesce(_fivetran_deleted, false) is false
