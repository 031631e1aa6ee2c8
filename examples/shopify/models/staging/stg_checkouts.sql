-- Checkouts that somebody left, some of whom came back (`completed_at`). Amounts are in the customer's money in the REST
-- version, in the shop's in the GraphQL version: `currency` says which.
select
    coalesce(token, cast(id as varchar)) as checkout_id,
    -- the cart's token is also on the order that it became
    coalesce(cart_token, token, cast(id as varchar)) as cart_id,
    id as raw_id,
    cast(customer_id as varchar) as customer_id,
    {{ normalize_email('email') }} as email,
    coalesce(cast(customer_id as varchar), {{ normalize_email('email') }}) as contact,
    created_at,
    completed_at,
    customer_locale as locale,
    upper(trim(shipping_address_country_code)) as country,
    buyer_accepts_marketing as accepts_marketing,
    abandoned_checkout_url as url,
    upper(trim(coalesce(presentment_currency, currency, total_price_set_shop_currency_code))) as currency,
    {{ amount('coalesce(total_price, total_price_set_shop_amount)') }} as total,
    {{ amount('coalesce(subtotal_price, subtotal_price_set_shop_amount)') }} as subtotal,
    {{ amount('coalesce(total_discounts, total_discount_set_shop_amount)') }} as discount,
    {{ amount('coalesce(total_tax, total_tax_set_shop_amount)') }} as tax
from {{ fivetran('abandoned_checkout', {
    'id': 'bigint', 'token': 'varchar', 'cart_token': 'varchar', 'customer_id': 'bigint', 'email': 'varchar',
    'created_at': 'timestamp with time zone', 'completed_at': 'timestamp with time zone', 'customer_locale': 'varchar',
    'shipping_address_country_code': 'varchar', 'buyer_accepts_marketing': 'boolean', 'abandoned_checkout_url': 'varchar',
    'presentment_currency': 'varchar', 'currency': 'varchar', 'total_price_set_shop_currency_code': 'varchar',
    'total_price': 'double precision', 'total_price_set_shop_amount': 'double precision',
    'subtotal_price': 'double precision', 'subtotal_price_set_shop_amount': 'double precision',
    'total_discounts': 'double precision', 'total_discount_set_shop_amount': 'double precision',
    'total_tax': 'double precision', 'total_tax_set_shop_amount': 'double precision',
    '_fivetran_deleted': 'boolean'}) }} as checkouts
where coalesce(_fivetran_deleted, false) is false
