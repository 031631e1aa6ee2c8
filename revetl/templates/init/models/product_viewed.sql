-- Views of visitors without an account have no person, and are counted as skipped.
select
    views.view_id,
    identities.person_id,
    views.viewed_at,
    views.sku,
    views.name,
    views.category,
    views.price
from {{ source('raw', 'product_views') }} as views
left join {{ ref('identities') }} as identities
    on views.customer_id = identities.customer_id and identities.kind = 'account'
