-- One row a line of an order. A product without a SKU is named by its variant, a line made up at the till by its own id.
select
    cast(order_id as varchar) as order_id,
    coalesce(nullif(trim(sku), ''), cast(variant_id as varchar), 'line-' || cast(id as varchar)) as sku,
    coalesce(nullif(trim(title), ''), nullif(trim(name), '')) as name,
    cast(quantity as integer) as quantity,
    {{ amount('coalesce(price, original_unit_price_set_shop_amount, original_total_set_shop_amount / nullif(quantity, 0))') }} as price,
    coalesce(gift_card, is_gift_card, false) as gift_card,
    row_number() over (partition by order_id order by "index", id) as line
from {{ fivetran('order_line', {
    'id': 'bigint', 'order_id': 'bigint', '"index"': 'bigint', 'sku': 'varchar', 'variant_id': 'bigint', 'title': 'varchar',
    'name': 'varchar', 'quantity': 'bigint', 'price': 'double precision',
    'original_unit_price_set_shop_amount': 'double precision', 'original_total_set_shop_amount': 'double precision',
    'gift_card': 'boolean', 'is_gift_card': 'boolean'}) }} as lines
