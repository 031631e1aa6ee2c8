DESCRIBE QUERY SELECT * FROM (
SELECT * FROM people
) AS m;

SELECT CAST(`id` AS STRING) AS `id`, CAST(`email` AS STRING) AS `email`, CAST(`plan` AS STRING) AS `plan`, CAST(`spent` AS STRING) AS `spent`
FROM (
SELECT * FROM people
) AS m;

DESCRIBE QUERY SELECT * FROM (
SELECT * FROM orders
) AS m;

SELECT CAST(`order_id` AS STRING) AS `order_id`, CAST(`person` AS STRING) AS `person`, concat(date_format(`bought_at`, 'yyyy-MM-dd HH:mm:ss.SSSSSS'), '+00') AS `bought_at`, CAST(`value` AS STRING) AS `value`
FROM (
SELECT * FROM orders
) AS m;
