{# One spelling of an address, wherever two rows are compared by it. #}
{% macro normalize_email(column) %}nullif(lower(trim({{ column }})), ''){% endmacro %}

{# The lines of an order or a cart as one JSON array, in their order. #}
{% macro items(sku, name, quantity, price, line) -%}
{%- if target.type == 'duckdb' -%}
to_json(list({'sku': {{ sku }}, 'name': {{ name }}, 'quantity': {{ quantity }}, 'price': {{ price }}} order by {{ line }}))
{%- else -%}
jsonb_agg(jsonb_build_object('sku', {{ sku }}, 'name', {{ name }}, 'quantity', {{ quantity }}, 'price', {{ price }}) order by {{ line }})
{%- endif -%}
{%- endmacro %}
