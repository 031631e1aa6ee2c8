-- One row an invoice line, with what the raw columns mean. Every rule about the raw data stands here.
select
    row_id,
    "InvoiceNo" as invoice,
    -- the file says 17850.0: without this there would be a second person beside 17850
    regexp_replace("CustomerID", '\.0$', '') as customer_id,
    -- one code occurs in two letter cases
    upper(trim("StockCode")) as sku,
    nullif(trim("Description"), '') as name,
    "Quantity" as quantity,
    cast("UnitPrice" as decimal(12, 3)) as price,
    cast("Quantity" as decimal(12, 0)) * cast("UnitPrice" as decimal(12, 3)) as amount,
    "InvoiceDate" as invoiced_at,
    "Country" as country,
    case
        when "InvoiceNo" like 'C%' then 'refund'
        when "InvoiceNo" like 'A%' then 'bad debt'
        -- a negative quantity outside a cancellation is a stock write-off at price 0, not money back
        else 'order'
    end as kind,
    -- products begin with five digits, but for these two; the rest is postage, discounts, fees, vouchers, corrections
    case
        when regexp_matches(upper(trim("StockCode")), '^([0-9]{5}|DCGS|PADS)') then 'product'
        when upper(trim("StockCode")) in ('POST', 'DOT', 'C2') then 'shipping'
        when upper(trim("StockCode")) = 'D' then 'discount'
        else 'other'
    end as line_kind
from {{ source('shop', 'lines') }}
