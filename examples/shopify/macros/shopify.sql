{# One spelling of an address, wherever two rows are compared by it. #}
{% macro normalize_email(column) %}nullif(lower(trim({{ column }})), ''){% endmacro %}

{# Numbers of Fivetran's tables are doubles; money is a decimal, exact to the cent. #}
{% macro amount(column) %}cast({{ column }} as decimal(14, 2)){% endmacro %}

{#
  Some columns of a table of Fivetran, each NULL where the table does not have it: Fivetran makes a column when the first
  value arrives, and connectors on Shopify's REST and GraphQL APIs name columns differently. In the inner SELECT a name means
  the table's column if there is one, else that of `absent`.
#}
{% macro fivetran(table, columns) -%}
(
    select found.*
    from (
        select
        {%- for name, type in columns.items() %}
            cast(null as {{ type }}) as {{ name }}{{ ',' if not loop.last }}
        {%- endfor %}
    ) as absent
    cross join lateral (
        select {{ columns | join(', ') }}
        from {{ source('shopify', table) }} as present
    ) as found
)
{%- endmacro %}

{# An amount of a price set, which the REST API gives as JSON: `money` is shop_money or presentment_money. #}
{% macro of_set(column, money) -%}
{%- if target.type == 'duckdb' -%}
cast(json_extract_string({{ column }}, '$.{{ money }}.amount') as decimal(14, 2))
{%- else -%}
cast(cast({{ column }} as jsonb) #>> '{{ '{' }}{{ money }},amount{{ '}' }}' as decimal(14, 2))
{%- endif -%}
{%- endmacro %}

{# Rows as one JSON array of objects, in an order. #}
{% macro json_rows(fields, order) -%}
{%- if target.type == 'duckdb' -%}
to_json(list({
{%- for name, value in fields.items() %}'{{ name }}': {{ value }}{{ ', ' if not loop.last }}{% endfor -%}
} order by {{ order }}))
{%- else -%}
jsonb_agg(jsonb_build_object(
{%- for name, value in fields.items() %}'{{ name }}', {{ value }}{{ ', ' if not loop.last }}{% endfor -%}
) order by {{ order }})
{%- endif -%}
{%- endmacro %}
