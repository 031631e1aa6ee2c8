-- Of the website, not of Shopify: see `web` in sources.yml. Views of somebody who is not known are counted as skipped.
select
    events.id as event_id,
    identities.person_id,
    events."timestamp" as viewed_at,
    events.sku,
    events.name,
    events.category,
    upper(events.currency) as currency,
    {{ amount('events.price') }} as price
from {{ source('web', 'product_viewed') }} as events
left join {{ ref('identities') }} as identities on events.user_id = identities.contact
