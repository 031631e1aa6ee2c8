-- Orders with the person they belong to: null where nobody gave an address, as in a shop's own till.
select stg.*, identities.person_id
from {{ ref('stg_orders') }} as stg
left join {{ ref('identities') }} as identities on stg.contact = identities.contact
