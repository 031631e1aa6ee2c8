-- Checkouts with the person they belong to and with what is in them: at most the 100 first lines. Both cart events read it.
with lines as (
    select
        checkout_id as raw_id,
        coalesce(nullif(trim(sku), ''), cast(variant_id as varchar), 'unknown') as sku,
        nullif(trim(title), '') as name,
        cast(quantity as integer) as quantity,
        {{ amount('price') }} as price,
        row_number() over (partition by checkout_id order by "index") as line,
        count(*) over (partition by checkout_id) as items_count
    from {{ fivetran('abandoned_checkout_line', {
        'checkout_id': 'bigint', '"index"': 'bigint', 'sku': 'varchar', 'variant_id': 'bigint', 'title': 'varchar',
        'quantity': 'bigint', 'price': 'double precision'}) }} as found
),

listed as (
    select
        raw_id,
        {{ json_rows({'sku': 'sku', 'name': 'name', 'quantity': 'quantity', 'price': 'price'}, 'line') }} as items,
        max(items_count) as items_count
    from lines
    where line <= 100
    group by raw_id
)

select
    checkouts.*,
    identities.person_id,
    listed.items,
    listed.items_count,
    row_number() over (partition by checkouts.cart_id order by checkouts.created_at, checkouts.checkout_id) as place
from {{ ref('stg_checkouts') }} as checkouts
left join {{ ref('identities') }} as identities on checkouts.contact = identities.contact
left join listed on checkouts.raw_id = listed.raw_id
