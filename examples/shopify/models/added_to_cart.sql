-- Shopify tells of a cart only when somebody gives an address at its checkout: then this is the cart's first checkout. With
-- `web_events` in pyproject.toml it is what the website tells, at the moment when it happens.
{% if var('web_events', false) -%}
select
    events.id as event_id,
    identities.person_id,
    events."timestamp" as added_at,
    events.cart_id,
    upper(events.currency) as currency,
    {{ amount('events.price * events.quantity') }} as value,
    {{ json_rows({'sku': 'events.sku', 'name': 'events.name', 'quantity': 'cast(events.quantity as integer)',
                  'price': amount('events.price')}, 'events.sku') }} as items,
    'web' as source
from {{ source('web', 'product_added') }} as events
left join {{ ref('identities') }} as identities on events.user_id = identities.contact
group by events.id, identities.person_id, events."timestamp", events.cart_id, events.currency, events.price, events.quantity
{%- else -%}
select
    cart_id as event_id,
    person_id,
    created_at as added_at,
    cart_id,
    currency,
    subtotal as value,
    items,
    'checkout' as source
from {{ ref('carts') }}
where place = 1
{%- endif %}
