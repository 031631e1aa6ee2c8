-- Orders in the money of the shop, as Shopify has each amount: none is computed from the others.
-- Test orders and deleted ones are none. `is_purchase` is false where no money was ever due: voided, or cancelled before it
-- was paid. An order that was paid and cancelled later was a purchase; its refund takes it back.
with orders as (
    select
        *,
        lower(coalesce(financial_status, display_financial_status, '')) as payment
    from {{ fivetran('order', {
        'id': 'bigint', 'name': 'varchar', 'customer_id': 'bigint', 'email': 'varchar', 'test': 'boolean',
        'created_at': 'timestamp with time zone', 'processed_at': 'timestamp with time zone',
        'cancelled_at': 'timestamp with time zone', 'financial_status': 'varchar', 'display_financial_status': 'varchar',
        'cart_token': 'varchar', 'checkout_token': 'varchar', 'source_name': 'varchar', 'customer_locale': 'varchar',
        'shipping_address_country_code': 'varchar', 'buyer_accepts_marketing': 'boolean',
        'customer_accepts_marketing': 'boolean', 'taxes_included': 'boolean',
        'currency': 'varchar', 'currency_code': 'varchar',
        'presentment_currency': 'varchar', 'presentment_currency_code': 'varchar',
        'total_price': 'double precision', 'total_price_set_shop_amount': 'double precision',
        'total_price_set': 'varchar', 'total_price_set_pres_amount': 'double precision',
        'subtotal_price': 'double precision', 'subtotal_price_set_shop_amount': 'double precision',
        'total_discounts': 'double precision', 'total_discounts_set_shop_amount': 'double precision',
        'total_tax': 'double precision', 'total_tax_set_shop_amount': 'double precision',
        'total_shipping_price_set': 'varchar', 'total_shipping_price_set_shop_amount': 'double precision',
        '_fivetran_deleted': 'boolean'}) }} as found
),

shipping as (
    select order_id, sum({{ amount('coalesce(discounted_price, discounted_price_set_shop_amount)') }}) as shipping
    from {{ fivetran('order_shipping_line', {
        'order_id': 'bigint', 'discounted_price': 'double precision',
        'discounted_price_set_shop_amount': 'double precision'}) }} as lines
    group by order_id
)

select
    cast(orders.id as varchar) as order_id,
    orders.name as order_name,
    cast(orders.customer_id as varchar) as customer_id,
    {{ normalize_email('orders.email') }} as email,
    coalesce(cast(orders.customer_id as varchar), {{ normalize_email('orders.email') }}) as contact,
    orders.created_at,
    -- an order that was imported was processed long before it was created here
    coalesce(orders.processed_at, orders.created_at) as ordered_at,
    orders.cancelled_at,
    orders.payment <> 'voided'
        and (orders.cancelled_at is null or orders.payment not in ('', 'pending', 'authorized', 'expired')) as is_purchase,
    orders.cart_token as cart_id,
    orders.checkout_token as checkout_id,
    orders.source_name as source,
    orders.customer_locale as locale,
    upper(trim(orders.shipping_address_country_code)) as country,
    coalesce(orders.buyer_accepts_marketing, orders.customer_accepts_marketing) as accepts_marketing,
    orders.taxes_included,
    upper(trim(coalesce(orders.currency, orders.currency_code))) as currency,
    {{ amount('coalesce(orders.total_price, orders.total_price_set_shop_amount)') }} as total,
    {{ amount('coalesce(orders.subtotal_price, orders.subtotal_price_set_shop_amount)') }} as subtotal,
    {{ amount('coalesce(orders.total_discounts, orders.total_discounts_set_shop_amount)') }} as discount,
    {{ amount('coalesce(orders.total_tax, orders.total_tax_set_shop_amount)') }} as tax,
    coalesce(
        {{ of_set('orders.total_shipping_price_set', 'shop_money') }},
        {{ amount('orders.total_shipping_price_set_shop_amount') }},
        shipping.shipping
    ) as shipping,
    upper(trim(coalesce(orders.presentment_currency, orders.presentment_currency_code))) as presentment_currency,
    coalesce(
        {{ of_set('orders.total_price_set', 'presentment_money') }}, {{ amount('orders.total_price_set_pres_amount') }}
    ) as presentment_total
from orders
left join shipping on orders.id = shipping.order_id
where coalesce(orders.test, false) is false and coalesce(orders._fivetran_deleted, false) is false
