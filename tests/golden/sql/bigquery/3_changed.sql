SELECT table_name, column_name, data_type, CAST(NULL AS INT64) AS scale FROM `warehouse`.`revetl_test`.INFORMATION_SCHEMA.COLUMNS ORDER BY table_name, ordinal_position;

SELECT `ctl__ws`.`name`, `ctl__ws`.`schema_version`, `ctl__ws`.`fence`, `ctl__ws`.`owner`, `ctl__ws`.`lease_until`, `ctl__ws`.`drain_until`, `ctl__ws`.`plan_fence`, `ctl__ws`.`hwm`, `ctl__ws`.`intent_at`, `ctl__ws`.`folded_fence`, `ctl__ws`.`plan_ts`, `ctl__ws`.`plan_contract`, `ctl__ws`.`initialised`, `ctl__ws`.`state_rows`, `ctl__ws`.`key_kind`, `ctl__ws`.`contracts`, `ctl__ws`.`workspace_id`, `ctl__ws`.`id_scheme`, `ctl__ws`.`last_success_at`, `ctl__ws`.`plan_rows`, `ctl__ws`.`ack_rows`, `ctl__ws`.`state_seal`, `ctl__ws`.`open_seal`, `ctl__ws`.`verified_at`, `ctl__ws`.`key_print`, `ctl__ws`.`key_since`, `ctl__ws`.`contract`, `ctl__ws`.`copies`, `ctl__ws`.`compared_at`, -1 AS `anon_1`, -1 AS `anon_2`, -1 AS `anon_3`, 0 AS `anon_4`
FROM `warehouse`.`revetl_test`.`ctl__ws`;

SELECT *
FROM (
SELECT * FROM people
) AS m
 LIMIT 0;

UPDATE `warehouse`.`revetl_test`.`ctl__people01` SET `fence`=(`ctl__people01`.`fence` + 1), `owner`='<owner>', `lease_until`=(unix_millis(CURRENT_TIMESTAMP) + 180000), `drain_until`=CASE WHEN (`ctl__people01`.`owner` IS NOT NULL AND `ctl__people01`.`lease_until` + 60000 > `ctl__people01`.`drain_until`) THEN `ctl__people01`.`lease_until` + 60000 ELSE `ctl__people01`.`drain_until` END WHERE (`ctl__people01`.`owner` IS NULL OR `ctl__people01`.`lease_until` < unix_millis(CURRENT_TIMESTAMP)) AND `ctl__people01`.`fence` >= (SELECT coalesce(max(`sync_log`.`fence`), 0) AS `coalesce_1`
FROM `warehouse`.`revetl_test`.`sync_log`
WHERE `sync_log`.`uid` = 'people01');

SELECT `ctl__people01`.`name`, `ctl__people01`.`schema_version`, `ctl__people01`.`fence`, `ctl__people01`.`owner`, `ctl__people01`.`lease_until`, `ctl__people01`.`drain_until`, `ctl__people01`.`plan_fence`, `ctl__people01`.`hwm`, `ctl__people01`.`intent_at`, `ctl__people01`.`folded_fence`, `ctl__people01`.`plan_ts`, `ctl__people01`.`plan_contract`, `ctl__people01`.`initialised`, `ctl__people01`.`state_rows`, `ctl__people01`.`key_kind`, `ctl__people01`.`contracts`, `ctl__people01`.`workspace_id`, `ctl__people01`.`id_scheme`, `ctl__people01`.`last_success_at`, `ctl__people01`.`plan_rows`, `ctl__people01`.`ack_rows`, `ctl__people01`.`state_seal`, `ctl__people01`.`open_seal`, `ctl__people01`.`verified_at`, `ctl__people01`.`key_print`, `ctl__people01`.`key_since`, `ctl__people01`.`contract`, `ctl__people01`.`copies`, `ctl__people01`.`compared_at`, (SELECT count(*) AS `count_1`
FROM `warehouse`.`revetl_test`.`state__people01`) AS `anon_1`, (SELECT count(*) AS `count_2`
FROM `warehouse`.`revetl_test`.`open__people01`) AS `anon_2`, (SELECT count(*) AS `count_3`
FROM `warehouse`.`revetl_test`.`ack__people01`) AS `anon_3`, (SELECT coalesce(max(`sync_log`.`fence`), 0) AS `coalesce_1`
FROM `warehouse`.`revetl_test`.`sync_log`
WHERE `sync_log`.`uid` = 'people01') AS `anon_4`
FROM `warehouse`.`revetl_test`.`ctl__people01`;

SELECT unix_millis(CURRENT_TIMESTAMP) AS `unix_millis_1`;

CREATE TABLE `warehouse`.`revetl_test`.`plan__people01__3` CLUSTER BY `_seq` AS SELECT CAST(CASE WHEN (`g`.`_op` IN ('release', 'clear', 'create', 'update', 'redrive', 'event', 'shadow', 'delete', 'suppress', 'held')) THEN row_number() OVER (ORDER BY CASE WHEN (`g`.`_op` IN ('release', 'clear', 'create', 'update', 'redrive', 'event', 'shadow')) THEN 1 WHEN (`g`.`_op` IN ('delete', 'suppress')) THEN 2 WHEN (`g`.`_op` = 'held') THEN 8 ELSE 9 END, `g`.`_key`) END AS INT64) AS `_seq`, `g`.`_op`, `g`.`_key`, CAST(`g`.`_n` AS INT64) AS `_n`, `g`.`_m0`, `g`.`_fresh`, `g`.`email`, `g`.`plan`, `g`.`spent`
FROM (SELECT `r`.`_op` AS `_op`, CASE WHEN (`r`.`_op` IN ('release', 'clear', 'create', 'update', 'redrive', 'event', 'shadow', 'delete', 'suppress', 'held', 'collision')) THEN `r`.`_key` END AS `_key`, count(*) AS `_n`, any_value(`r`.`_m0`) AS `_m0`, any_value(`r`.`_fresh`) AS `_fresh`, any_value(`r`.`email`) AS `email`, any_value(`r`.`plan`) AS `plan`, any_value(`r`.`spent`) AS `spent`
FROM (SELECT CASE WHEN (`l`.`_m` IS NULL) THEN 'gone' WHEN (`l`.`_matched` AND `l`.`_outcome` IS NULL AND `l`.`_m0` = 0) THEN 'same' WHEN (coalesce(TRIM(replace(`l`.`_key`, '\u200b', ''), ' '), '') = '') THEN 'bad_key' WHEN (`l`.`_outcome` = 'refused' AND `l`.`_o_contract` = '5a6c2097ac6c66b2' AND `l`.`_last_try` > <time> AND `l`.`_values` = CASE WHEN (`l`.`_outcome` = 'refused') THEN to_hex(md5(concat(coalesce(concat(CAST(length(CAST(`l`.`email` AS STRING)) AS STRING), ':', CAST(`l`.`email` AS STRING)), '-'), coalesce(concat(CAST(length(CAST(`l`.`plan` AS STRING)) AS STRING), ':', CAST(`l`.`plan` AS STRING)), '-'), coalesce(concat(CAST(length(CAST(`l`.`spent` AS STRING)) AS STRING), ':', CAST(`l`.`spent` AS STRING)), '-')))) END AND `l`.`_matched`) THEN 'refused_update' WHEN (`l`.`_outcome` = 'refused' AND `l`.`_o_contract` = '5a6c2097ac6c66b2' AND `l`.`_last_try` > <time> AND `l`.`_values` = CASE WHEN (`l`.`_outcome` = 'refused') THEN to_hex(md5(concat(coalesce(concat(CAST(length(CAST(`l`.`email` AS STRING)) AS STRING), ':', CAST(`l`.`email` AS STRING)), '-'), coalesce(concat(CAST(length(CAST(`l`.`plan` AS STRING)) AS STRING), ':', CAST(`l`.`plan` AS STRING)), '-'), coalesce(concat(CAST(length(CAST(`l`.`spent` AS STRING)) AS STRING), ':', CAST(`l`.`spent` AS STRING)), '-')))) END) THEN 'refused' WHEN (`l`.`_outcome` = 'unknown' OR `l`.`_outcome` = 'refused' AND (`l`.`_matched` OR `l`.`_o_op` IN ('redrive', 'clear', 'delete', 'suppress'))) THEN 'redrive' WHEN NOT `l`.`_matched` THEN 'create' WHEN (`l`.`_m0` != 0) THEN 'update' ELSE 'same' END AS `_op`, `l`.`_key` AS `_key`, `l`.`_m0` AS `_m0`, `l`.`_fresh` AS `_fresh`, `l`.`email` AS `email`, `l`.`plan` AS `plan`, `l`.`spent` AS `spent`
FROM (SELECT coalesce(`m`.`_key`, `t`.`_key`, `o`.`_key`) AS `_key`, `m`.`_m` AS `_m`, `t`.`_key` IS NOT NULL AS `_matched`, `o`.`_op` AS `_o_op`, `o`.`_outcome` AS `_outcome`, `o`.`_contract` AS `_o_contract`, `o`.`_values` AS `_values`, `o`.`_last_try` AS `_last_try`, false AS `_fresh`, CAST(CASE WHEN (`t`.`_key` IS NOT NULL) THEN CASE WHEN (`m`.`email` IS NOT NULL AND `m`.`email` IS DISTINCT FROM `t`.`email`) THEN 1 ELSE 0 END + CASE WHEN (`m`.`plan` IS NOT NULL AND `m`.`plan` IS DISTINCT FROM `t`.`plan`) THEN 2 ELSE 0 END + CASE WHEN (`m`.`spent` IS NOT NULL AND `m`.`spent` IS DISTINCT FROM `t`.`spent`) THEN 4 ELSE 0 END ELSE 0 END AS INT64) AS `_m0`, coalesce(`m`.`email`, `t`.`email`) AS `email`, coalesce(`m`.`plan`, `t`.`plan`) AS `plan`, coalesce(`m`.`spent`, `t`.`spent`) AS `spent`
FROM (SELECT 1 AS `_m`, `id` AS `_key`, COLLATE(CAST(`email` AS STRING), '') AS `email`, COLLATE(CAST(`plan` AS STRING), '') AS `plan`, CAST(`spent` AS BIGNUMERIC) AS `spent`
FROM (
SELECT * FROM people
) AS m) AS `m` FULL OUTER JOIN `warehouse`.`revetl_test`.`state__people01` AS `t` ON `t`.`_key` = `m`.`_key` LEFT OUTER JOIN (SELECT `open__people01`.`_key` AS `_key`, `open__people01`.`_variant` AS `_variant`, `open__people01`.`_op` AS `_op`, `open__people01`.`_outcome` AS `_outcome`, `open__people01`.`_contract` AS `_contract`, `open__people01`.`_values` AS `_values`, `open__people01`.`_first_at` AS `_first_at`, `open__people01`.`_last_try` AS `_last_try`
FROM `warehouse`.`revetl_test`.`open__people01`
WHERE false) AS `o` ON `o`.`_key` = coalesce(`m`.`_key`, `t`.`_key`)) AS `l`) AS `r` GROUP BY `r`.`_op`, CASE WHEN (`r`.`_op` IN ('release', 'clear', 'create', 'update', 'redrive', 'event', 'shadow', 'delete', 'suppress', 'held', 'collision')) THEN `r`.`_key` END) AS `g`;

SELECT `plan__people01__3`.`_op`, sum(`plan__people01__3`.`_n`) AS `sum_1`, count(*) AS `count_1`, max(`plan__people01__3`.`_n`) AS `max_1`, min(`plan__people01__3`.`_seq`) AS `min_1`, max(`plan__people01__3`.`_seq`) AS `max_2`, sum(CASE WHEN `plan__people01__3`.`_fresh` THEN 1 ELSE 0 END) AS `sum_2`, sum(CASE WHEN ((`plan__people01__3`.`_m0` & 1) != 0) THEN 1 ELSE 0 END) AS `sum_3`, sum(CASE WHEN ((`plan__people01__3`.`_m0` & 2) != 0) THEN 1 ELSE 0 END) AS `sum_4`, sum(CASE WHEN ((`plan__people01__3`.`_m0` & 4) != 0) THEN 1 ELSE 0 END) AS `sum_5`, max(abs(`plan__people01__3`.`spent`)) AS `max_3`
FROM `warehouse`.`revetl_test`.`plan__people01__3` GROUP BY `plan__people01__3`.`_op`;

SELECT 'farm' AS `anon_1`, count(*) AS `count_1`, CAST(coalesce(sum(CAST(farm_fingerprint(concat(coalesce(concat('=', CAST(`state__people01`.`_key` AS STRING)), '-'), '\u001f', coalesce(concat('=', CAST(`state__people01`.`email` AS STRING)), '-'), '\u001f', coalesce(concat('=', CAST(`state__people01`.`plan` AS STRING)), '-'), '\u001f', coalesce(concat('=', CAST(`state__people01`.`spent` AS STRING)), '-'), '\u001f', coalesce(concat('=', CAST(`state__people01`.`_contract` AS STRING)), '-'), '\u001f', coalesce(concat('=', CAST(`state__people01`.`_fence` AS STRING)), '-'), '\u001f', coalesce(concat('=', CAST(`state__people01`.`_acked_at` AS STRING)), '-'), '\u001f')) AS BIGNUMERIC)), 0) AS STRING) AS `coalesce_1`
FROM `warehouse`.`revetl_test`.`state__people01`;

UPDATE `warehouse`.`revetl_test`.`ctl__ws` SET `fence`=(`ctl__ws`.`fence` + 1), `owner`='<owner>', `lease_until`=(unix_millis(CURRENT_TIMESTAMP) + 180000), `drain_until`=CASE WHEN (`ctl__ws`.`owner` IS NOT NULL AND `ctl__ws`.`lease_until` + 60000 > `ctl__ws`.`drain_until`) THEN `ctl__ws`.`lease_until` + 60000 ELSE `ctl__ws`.`drain_until` END WHERE (`ctl__ws`.`owner` IS NULL OR `ctl__ws`.`lease_until` < unix_millis(CURRENT_TIMESTAMP)) AND `ctl__ws`.`fence` >= 0;

SELECT `ctl__ws`.`name`, `ctl__ws`.`schema_version`, `ctl__ws`.`fence`, `ctl__ws`.`owner`, `ctl__ws`.`lease_until`, `ctl__ws`.`drain_until`, `ctl__ws`.`plan_fence`, `ctl__ws`.`hwm`, `ctl__ws`.`intent_at`, `ctl__ws`.`folded_fence`, `ctl__ws`.`plan_ts`, `ctl__ws`.`plan_contract`, `ctl__ws`.`initialised`, `ctl__ws`.`state_rows`, `ctl__ws`.`key_kind`, `ctl__ws`.`contracts`, `ctl__ws`.`workspace_id`, `ctl__ws`.`id_scheme`, `ctl__ws`.`last_success_at`, `ctl__ws`.`plan_rows`, `ctl__ws`.`ack_rows`, `ctl__ws`.`state_seal`, `ctl__ws`.`open_seal`, `ctl__ws`.`verified_at`, `ctl__ws`.`key_print`, `ctl__ws`.`key_since`, `ctl__ws`.`contract`, `ctl__ws`.`copies`, `ctl__ws`.`compared_at`, -1 AS `anon_1`, -1 AS `anon_2`, -1 AS `anon_3`, 0 AS `anon_4`
FROM `warehouse`.`revetl_test`.`ctl__ws`;

BEGIN TRANSACTION;

UPDATE `warehouse`.`revetl_test`.`ctl__ws` SET `verified_at`=unix_millis(CURRENT_TIMESTAMP) WHERE true;

SELECT unix_millis(CURRENT_TIMESTAMP) AS `ms`, CAST(NULL AS STRING) AS `lane`, CAST(NULL AS FLOAT64) AS `part` UNION ALL SELECT unix_millis(CURRENT_TIMESTAMP) AS `unix_millis_1`, `rates`.`lane`, `rates`.`part`
FROM `warehouse`.`revetl_test`.`rates`
WHERE `rates`.`owner` != '<owner>' AND `rates`.`until` > unix_millis(CURRENT_TIMESTAMP);

DELETE FROM `warehouse`.`revetl_test`.`rates` WHERE `rates`.`owner` = '<owner>' OR `rates`.`until` <= <time>;

INSERT INTO `warehouse`.`revetl_test`.`rates` (`owner`, `lane`, `part`, `until`) VALUES (@`owner`, @`lane`, @`part`, @`until`);

COMMIT TRANSACTION;

SELECT `plan__people01__3`.`_seq`, `plan__people01__3`.`_op`, `plan__people01__3`.`_key`, `plan__people01__3`.`_m0`, `plan__people01__3`.`email`, `plan__people01__3`.`plan`, CAST(`plan__people01__3`.`spent` AS STRING) AS `spent`
FROM `warehouse`.`revetl_test`.`plan__people01__3`
WHERE `plan__people01__3`.`_seq` BETWEEN 1 AND 2 ORDER BY `plan__people01__3`.`_seq`;

UPDATE `warehouse`.`revetl_test`.`ctl__people01` SET `name`='people', `lease_until`=(unix_millis(CURRENT_TIMESTAMP) + 180000), `plan_fence`=3, `hwm`=2, `intent_at`=unix_millis(CURRENT_TIMESTAMP), `plan_contract`=1, `key_kind`='text', `contracts`='{"1":{"email":"c8b47ead-text","plan":"bf1f9330-text","spent":"fbe26009-decimal"}}', `workspace_id`='<workspace>', `plan_rows`=2 WHERE `ctl__people01`.`owner` = '<owner>' AND `ctl__people01`.`fence` = 3;

UPDATE `warehouse`.`revetl_test`.`ctl__ws` SET `lease_until`=(unix_millis(CURRENT_TIMESTAMP) + 180000) WHERE `ctl__ws`.`owner` = '<owner>' AND `ctl__ws`.`fence` = 2;

BEGIN TRANSACTION;

UPDATE `warehouse`.`revetl_test`.`ctl__people01` SET `lease_until`=(unix_millis(CURRENT_TIMESTAMP) + 180000), `ack_rows`=(`ctl__people01`.`ack_rows` + 1) WHERE `ctl__people01`.`owner` = '<owner>' AND `ctl__people01`.`fence` = 3;

INSERT INTO `warehouse`.`revetl_test`.`ack__people01` (`fence`, `seq_from`, `seq_to`, `outcome`, `status`, `reason`, `field`, `message`, `rule`, `outline`) VALUES (@`fence_m0`, @`seq_from_m0`, @`seq_to_m0`, @`outcome_m0`, @`status_m0`, @`reason_m0`, @`field_m0`, @`message_m0`, @`rule_m0`, @`outline_m0`);

COMMIT TRANSACTION;

SELECT `ack__people01`.`seq_from`, `ack__people01`.`seq_to`, `ack__people01`.`outcome`
FROM `warehouse`.`revetl_test`.`ack__people01`
WHERE `ack__people01`.`fence` = 3 AND (`ack__people01`.`outcome` NOT IN ('refused', 'refused_unsure'));

SELECT count(*) AS `count_1`
FROM `warehouse`.`revetl_test`.`ack__people01`
WHERE `ack__people01`.`fence` = 3 AND `ack__people01`.`outcome` IN ('refused', 'refused_unsure');

BEGIN TRANSACTION;

UPDATE `warehouse`.`revetl_test`.`ctl__people01` SET `lease_until`=(unix_millis(CURRENT_TIMESTAMP) + 180000) WHERE `ctl__people01`.`owner` = '<owner>' AND `ctl__people01`.`fence` = 3;

SELECT 'farm' AS `anon_1`, count(*) AS `count_1`, CAST(coalesce(sum(CAST(farm_fingerprint(concat(coalesce(concat('=', CAST(`state__people01`.`_key` AS STRING)), '-'), '\u001f', coalesce(concat('=', CAST(`state__people01`.`email` AS STRING)), '-'), '\u001f', coalesce(concat('=', CAST(`state__people01`.`plan` AS STRING)), '-'), '\u001f', coalesce(concat('=', CAST(`state__people01`.`spent` AS STRING)), '-'), '\u001f', coalesce(concat('=', CAST(`state__people01`.`_contract` AS STRING)), '-'), '\u001f', coalesce(concat('=', CAST(`state__people01`.`_fence` AS STRING)), '-'), '\u001f', coalesce(concat('=', CAST(`state__people01`.`_acked_at` AS STRING)), '-'), '\u001f')) AS BIGNUMERIC)), 0) AS STRING) AS `coalesce_1`
FROM `warehouse`.`revetl_test`.`state__people01`
WHERE `state__people01`.`_key` IN (SELECT `plan__people01__3`.`_key`
FROM `warehouse`.`revetl_test`.`plan__people01__3`
WHERE `plan__people01__3`.`_seq` BETWEEN 1 AND 2);

MERGE INTO `warehouse`.`revetl_test`.`state__people01` AS t USING (SELECT `plan__people01__3`.`_key`, `plan__people01__3`.`email`, `plan__people01__3`.`plan`, `plan__people01__3`.`spent`, CAST(1 AS INT64) AS `_contract`, CAST(3 AS INT64) AS `_fence`, CAST(unix_millis(CURRENT_TIMESTAMP) AS INT64) AS `_acked_at`, `plan__people01__3`.`_op` IN ('delete', 'suppress') AS `_gone`
FROM `warehouse`.`revetl_test`.`plan__people01__3`
WHERE `plan__people01__3`.`_seq` BETWEEN 1 AND 2) AS s ON t.`_key` = s.`_key` WHEN MATCHED AND s.`_gone` THEN DELETE WHEN MATCHED THEN UPDATE SET `email` = s.`email`, `plan` = s.`plan`, `spent` = s.`spent`, `_contract` = s.`_contract`, `_fence` = s.`_fence`, `_acked_at` = s.`_acked_at` WHEN NOT MATCHED AND NOT s.`_gone` THEN INSERT (`_key`, `email`, `plan`, `spent`, `_contract`, `_fence`, `_acked_at`) VALUES (s.`_key`, s.`email`, s.`plan`, s.`spent`, s.`_contract`, s.`_fence`, s.`_acked_at`);

SELECT 'farm' AS `anon_1`, count(*) AS `count_1`, CAST(coalesce(sum(CAST(farm_fingerprint(concat(coalesce(concat('=', CAST(`state__people01`.`_key` AS STRING)), '-'), '\u001f', coalesce(concat('=', CAST(`state__people01`.`email` AS STRING)), '-'), '\u001f', coalesce(concat('=', CAST(`state__people01`.`plan` AS STRING)), '-'), '\u001f', coalesce(concat('=', CAST(`state__people01`.`spent` AS STRING)), '-'), '\u001f', coalesce(concat('=', CAST(`state__people01`.`_contract` AS STRING)), '-'), '\u001f', coalesce(concat('=', CAST(`state__people01`.`_fence` AS STRING)), '-'), '\u001f', coalesce(concat('=', CAST(`state__people01`.`_acked_at` AS STRING)), '-'), '\u001f')) AS BIGNUMERIC)), 0) AS STRING) AS `coalesce_1`
FROM `warehouse`.`revetl_test`.`state__people01`
WHERE `state__people01`.`_key` IN (SELECT `plan__people01__3`.`_key`
FROM `warehouse`.`revetl_test`.`plan__people01__3`
WHERE `plan__people01__3`.`_seq` BETWEEN 1 AND 2);

DELETE FROM `warehouse`.`revetl_test`.`ack__people01` WHERE `ack__people01`.`fence` <= 3;

UPDATE `warehouse`.`revetl_test`.`ctl__people01` SET `folded_fence`=3, `initialised`=1, `state_rows`=3, `ack_rows`=0, `state_seal`='{"engine":"bigquery farm","columns":["_key","email","plan","spent","_contract","_fence","_acked_at"],"rows":3,"sum":"<sum>"}' WHERE `ctl__people01`.`owner` = '<owner>' AND `ctl__people01`.`fence` = 3;

COMMIT TRANSACTION;

SELECT CASE WHEN (TRIM(replace(replace(`g`.`_a`, '\u200b', ''), '\ufeff', ''), '\t\n\u000b\u000c\r\u001c\u001d\u001e\u001f \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u202f\u205f\u2060\u3000\ufeff') LIKE '%.0' OR TRIM(replace(replace(`g`.`_z`, '\u200b', ''), '\ufeff', ''), '\t\n\u000b\u000c\r\u001c\u001d\u001e\u001f \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u202f\u205f\u2060\u3000\ufeff') LIKE '%.0' OR TRIM(replace(replace(`g`.`_a`, '\u200b', ''), '\ufeff', ''), '\t\n\u000b\u000c\r\u001c\u001d\u001e\u001f \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u202f\u205f\u2060\u3000\ufeff') LIKE '%.00' OR TRIM(replace(replace(`g`.`_z`, '\u200b', ''), '\ufeff', ''), '\t\n\u000b\u000c\r\u001c\u001d\u001e\u001f \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u202f\u205f\u2060\u3000\ufeff') LIKE '%.00') THEN 'float' WHEN (lower(`g`.`_a`) = lower(`g`.`_z`)) THEN 'case' WHEN (ltrim(`g`.`_a`, '0') = ltrim(`g`.`_z`, '0')) THEN 'zeros' ELSE 'blanks' END AS `anon_1`, sum(`g`.`_new`) AS `sum_1`, min(`g`.`_a`) AS `min_1`, min(`g`.`_z`) AS `min_2`
FROM (SELECT min(`k`.`_key`) AS `_a`, max(`k`.`_key`) AS `_z`, sum(`k`.`_new`) AS `_new`
FROM (SELECT `plan__people01__3`.`_key` AS `_key`, 1 AS `_new`
FROM `warehouse`.`revetl_test`.`plan__people01__3`
WHERE `plan__people01__3`.`_op` = 'create' UNION ALL SELECT `state__people01`.`_key` AS `_key`, 0 AS `anon_2`
FROM `warehouse`.`revetl_test`.`state__people01`) AS `k` GROUP BY CASE WHEN (ltrim(lower(TRIM(replace(replace(`k`.`_key`, '\u200b', ''), '\ufeff', ''), '\t\n\u000b\u000c\r\u001c\u001d\u001e\u001f \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u202f\u205f\u2060\u3000\ufeff')), '0') LIKE '%.0%') THEN rtrim(rtrim(ltrim(lower(TRIM(replace(replace(`k`.`_key`, '\u200b', ''), '\ufeff', ''), '\t\n\u000b\u000c\r\u001c\u001d\u001e\u001f \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u202f\u205f\u2060\u3000\ufeff')), '0'), '0'), '.') ELSE ltrim(lower(TRIM(replace(replace(`k`.`_key`, '\u200b', ''), '\ufeff', ''), '\t\n\u000b\u000c\r\u001c\u001d\u001e\u001f \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u202f\u205f\u2060\u3000\ufeff')), '0') END
HAVING min(`k`.`_key`) != max(`k`.`_key`) AND sum(`k`.`_new`) > 0) AS `g` GROUP BY CASE WHEN (TRIM(replace(replace(`g`.`_a`, '\u200b', ''), '\ufeff', ''), '\t\n\u000b\u000c\r\u001c\u001d\u001e\u001f \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u202f\u205f\u2060\u3000\ufeff') LIKE '%.0' OR TRIM(replace(replace(`g`.`_z`, '\u200b', ''), '\ufeff', ''), '\t\n\u000b\u000c\r\u001c\u001d\u001e\u001f \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u202f\u205f\u2060\u3000\ufeff') LIKE '%.0' OR TRIM(replace(replace(`g`.`_a`, '\u200b', ''), '\ufeff', ''), '\t\n\u000b\u000c\r\u001c\u001d\u001e\u001f \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u202f\u205f\u2060\u3000\ufeff') LIKE '%.00' OR TRIM(replace(replace(`g`.`_z`, '\u200b', ''), '\ufeff', ''), '\t\n\u000b\u000c\r\u001c\u001d\u001e\u001f \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u202f\u205f\u2060\u3000\ufeff') LIKE '%.00') THEN 'float' WHEN (lower(`g`.`_a`) = lower(`g`.`_z`)) THEN 'case' WHEN (ltrim(`g`.`_a`, '0') = ltrim(`g`.`_z`, '0')) THEN 'zeros' ELSE 'blanks' END ORDER BY CASE WHEN (TRIM(replace(replace(`g`.`_a`, '\u200b', ''), '\ufeff', ''), '\t\n\u000b\u000c\r\u001c\u001d\u001e\u001f \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u202f\u205f\u2060\u3000\ufeff') LIKE '%.0' OR TRIM(replace(replace(`g`.`_z`, '\u200b', ''), '\ufeff', ''), '\t\n\u000b\u000c\r\u001c\u001d\u001e\u001f \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u202f\u205f\u2060\u3000\ufeff') LIKE '%.0' OR TRIM(replace(replace(`g`.`_a`, '\u200b', ''), '\ufeff', ''), '\t\n\u000b\u000c\r\u001c\u001d\u001e\u001f \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u202f\u205f\u2060\u3000\ufeff') LIKE '%.00' OR TRIM(replace(replace(`g`.`_z`, '\u200b', ''), '\ufeff', ''), '\t\n\u000b\u000c\r\u001c\u001d\u001e\u001f \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u202f\u205f\u2060\u3000\ufeff') LIKE '%.00') THEN 'float' WHEN (lower(`g`.`_a`) = lower(`g`.`_z`)) THEN 'case' WHEN (ltrim(`g`.`_a`, '0') = ltrim(`g`.`_z`, '0')) THEN 'zeros' ELSE 'blanks' END;

DROP TABLE IF EXISTS `warehouse`.`revetl_test`.`plan__people01__3`;

UPDATE `warehouse`.`revetl_test`.`ctl__people01` SET `owner`=NULL, `lease_until`=0, `last_success_at`=unix_millis(CURRENT_TIMESTAMP) WHERE `ctl__people01`.`owner` = '<owner>' AND `ctl__people01`.`fence` = 3;

SELECT *
FROM (
SELECT * FROM orders
) AS m
 LIMIT 0;

UPDATE `warehouse`.`revetl_test`.`ctl__orders01` SET `fence`=(`ctl__orders01`.`fence` + 1), `owner`='<owner>', `lease_until`=(unix_millis(CURRENT_TIMESTAMP) + 180000), `drain_until`=CASE WHEN (`ctl__orders01`.`owner` IS NOT NULL AND `ctl__orders01`.`lease_until` + 60000 > `ctl__orders01`.`drain_until`) THEN `ctl__orders01`.`lease_until` + 60000 ELSE `ctl__orders01`.`drain_until` END WHERE (`ctl__orders01`.`owner` IS NULL OR `ctl__orders01`.`lease_until` < unix_millis(CURRENT_TIMESTAMP)) AND `ctl__orders01`.`fence` >= (SELECT coalesce(max(`sync_log`.`fence`), 0) AS `coalesce_1`
FROM `warehouse`.`revetl_test`.`sync_log`
WHERE `sync_log`.`uid` = 'orders01');

SELECT `ctl__orders01`.`name`, `ctl__orders01`.`schema_version`, `ctl__orders01`.`fence`, `ctl__orders01`.`owner`, `ctl__orders01`.`lease_until`, `ctl__orders01`.`drain_until`, `ctl__orders01`.`plan_fence`, `ctl__orders01`.`hwm`, `ctl__orders01`.`intent_at`, `ctl__orders01`.`folded_fence`, `ctl__orders01`.`plan_ts`, `ctl__orders01`.`plan_contract`, `ctl__orders01`.`initialised`, `ctl__orders01`.`state_rows`, `ctl__orders01`.`key_kind`, `ctl__orders01`.`contracts`, `ctl__orders01`.`workspace_id`, `ctl__orders01`.`id_scheme`, `ctl__orders01`.`last_success_at`, `ctl__orders01`.`plan_rows`, `ctl__orders01`.`ack_rows`, `ctl__orders01`.`state_seal`, `ctl__orders01`.`open_seal`, `ctl__orders01`.`verified_at`, `ctl__orders01`.`key_print`, `ctl__orders01`.`key_since`, `ctl__orders01`.`contract`, `ctl__orders01`.`copies`, `ctl__orders01`.`compared_at`, (SELECT count(*) AS `count_1`
FROM `warehouse`.`revetl_test`.`state__orders01`) AS `anon_1`, (SELECT count(*) AS `count_2`
FROM `warehouse`.`revetl_test`.`open__orders01`) AS `anon_2`, (SELECT count(*) AS `count_3`
FROM `warehouse`.`revetl_test`.`ack__orders01`) AS `anon_3`, (SELECT coalesce(max(`sync_log`.`fence`), 0) AS `coalesce_1`
FROM `warehouse`.`revetl_test`.`sync_log`
WHERE `sync_log`.`uid` = 'orders01') AS `anon_4`
FROM `warehouse`.`revetl_test`.`ctl__orders01`;

SELECT unix_millis(CURRENT_TIMESTAMP) AS `unix_millis_1`;

CREATE TABLE `warehouse`.`revetl_test`.`plan__orders01__3` CLUSTER BY `_seq` AS SELECT CAST(CASE WHEN (`g`.`_op` IN ('release', 'clear', 'create', 'update', 'redrive', 'event', 'shadow', 'delete', 'suppress', 'held')) THEN row_number() OVER (ORDER BY CASE WHEN (`g`.`_op` IN ('release', 'clear', 'create', 'update', 'redrive', 'event', 'shadow')) THEN 1 WHEN (`g`.`_op` IN ('delete', 'suppress')) THEN 2 WHEN (`g`.`_op` = 'held') THEN 8 ELSE 9 END, `g`.`_occurred_at`, `g`.`_key`) END AS INT64) AS `_seq`, `g`.`_op`, `g`.`_key`, CAST(`g`.`_n` AS INT64) AS `_n`, `g`.`_person`, `g`.`_anonymous`, `g`.`_occurred_at`, `g`.`_variant`, `g`.`_digest`, `g`.`order_id`, `g`.`value`
FROM (SELECT `r`.`_op` AS `_op`, CASE WHEN (`r`.`_op` IN ('release', 'clear', 'create', 'update', 'redrive', 'event', 'shadow', 'delete', 'suppress', 'held', 'collision')) THEN `r`.`_key` END AS `_key`, count(*) AS `_n`, any_value(`r`.`_person`) AS `_person`, any_value(`r`.`_anonymous`) AS `_anonymous`, any_value(`r`.`_occurred_at`) AS `_occurred_at`, any_value(`r`.`_variant`) AS `_variant`, any_value(`r`.`_digest`) AS `_digest`, any_value(`r`.`order_id`) AS `order_id`, any_value(`r`.`value`) AS `value`
FROM (SELECT CASE WHEN (`d`.`_m` IS NULL) THEN 'gone' WHEN (`t`.`_key` IS NOT NULL AND `t`.`_contract` = 1 AND `t`.`_digest` != `d`.`_digest`) THEN 'drift' WHEN (`t`.`_key` IS NOT NULL) THEN 'same' WHEN (coalesce(TRIM(replace(`d`.`_key`, '\u200b', ''), ' '), '') = '') THEN 'bad_key' WHEN (`o`.`_outcome` = 'unknown' AND `o`.`_first_at` < <time>) THEN 'held' WHEN (`o`.`_outcome` = 'held') THEN 'held_before' WHEN (`d`.`_person` IS NULL) THEN 'skipped' WHEN (NOT (`live_person`.`_key` IS NOT NULL AND `doubtful_person`.`_key` IS NULL)) THEN 'waiting' WHEN (`o`.`_outcome` = 'refused' AND `o`.`_contract` = '2ed42027029ff245' AND `o`.`_values` = `d`.`_digest` AND `o`.`_last_try` > <time>) THEN 'refused' WHEN ((`o`.`_outcome` IN ('unknown', 'held') OR `o`.`_op` = 'doubt') AND `o`.`_first_at` < <time>) THEN 'held' WHEN (`d`.`_occurred_at` < <time>) THEN 'late' WHEN (`d`.`_occurred_at` > <time>) THEN 'future' WHEN false THEN 'shadow' ELSE 'event' END AS `_op`, coalesce(`d`.`_key`, `t`.`_key`) AS `_key`, `d`.`_person` AS `_person`, `d`.`_anonymous` AS `_anonymous`, `d`.`_occurred_at` AS `_occurred_at`, '' AS `_variant`, `d`.`_digest` AS `_digest`, `d`.`order_id` AS `order_id`, `d`.`value` AS `value`
FROM (SELECT `m`.`_m` AS `_m`, `m`.`_key` AS `_key`, `m`.`_person` AS `_person`, `m`.`_anonymous` AS `_anonymous`, `m`.`_occurred_at` AS `_occurred_at`, `m`.`order_id` AS `order_id`, `m`.`value` AS `value`, to_hex(md5(concat(coalesce(concat(CAST(length(CAST(`m`.`_person` AS STRING)) AS STRING), ':', CAST(`m`.`_person` AS STRING)), '-'), coalesce(concat(CAST(length(CAST(`m`.`_occurred_at` AS STRING)) AS STRING), ':', CAST(`m`.`_occurred_at` AS STRING)), '-'), coalesce(concat(CAST(length(CAST(`m`.`order_id` AS STRING)) AS STRING), ':', CAST(`m`.`order_id` AS STRING)), '-'), coalesce(concat(CAST(length(CAST(`m`.`value` AS STRING)) AS STRING), ':', CAST(`m`.`value` AS STRING)), '-')))) AS `_digest`, '' AS `_variant`
FROM (SELECT 1 AS `_m`, `order_id` AS `_key`, CASE WHEN (coalesce(TRIM(replace(`person`, '\u200b', ''), ' '), '') = '') THEN CAST(NULL AS STRING) ELSE `person` END AS `_person`, CAST(NULL AS STRING) AS `_anonymous`, CAST(unix_seconds(`bought_at`) AS INT64) AS `_occurred_at`, COLLATE(CAST(`order_id` AS STRING), '') AS `order_id`, CAST(`value` AS BIGNUMERIC) AS `value`
FROM (
SELECT * FROM orders
) AS m) AS `m`) AS `d` FULL OUTER JOIN (SELECT `state__orders01`.`_key` AS `_key`, `state__orders01`.`_variant` AS `_variant`, `state__orders01`.`_contract` AS `_contract`, `state__orders01`.`_digest` AS `_digest`, `state__orders01`.`_occurred_at` AS `_occurred_at`
FROM `warehouse`.`revetl_test`.`state__orders01`
WHERE `state__orders01`.`_variant` IN ('')) AS `t` ON `t`.`_key` = `d`.`_key` LEFT OUTER JOIN (SELECT `open__orders01`.`_key` AS `_key`, `open__orders01`.`_variant` AS `_variant`, `open__orders01`.`_op` AS `_op`, `open__orders01`.`_outcome` AS `_outcome`, `open__orders01`.`_contract` AS `_contract`, `open__orders01`.`_values` AS `_values`, `open__orders01`.`_first_at` AS `_first_at`, `open__orders01`.`_last_try` AS `_last_try`
FROM `warehouse`.`revetl_test`.`open__orders01`
WHERE false) AS `o` ON `o`.`_key` = `d`.`_key` LEFT OUTER JOIN (SELECT `state__people01`.`_key` AS `_key`
FROM `warehouse`.`revetl_test`.`state__people01`) AS `live_person` ON `live_person`.`_key` = `d`.`_person` LEFT OUTER JOIN (SELECT `open__people01`.`_key` AS `_key`
FROM `warehouse`.`revetl_test`.`open__people01`
WHERE `open__people01`.`_outcome` = 'unknown' AND `open__people01`.`_variant` = '') AS `doubtful_person` ON `doubtful_person`.`_key` = `d`.`_person`) AS `r` GROUP BY `r`.`_op`, CASE WHEN (`r`.`_op` IN ('release', 'clear', 'create', 'update', 'redrive', 'event', 'shadow', 'delete', 'suppress', 'held', 'collision')) THEN `r`.`_key` END) AS `g`;

SELECT `plan__orders01__3`.`_op`, sum(`plan__orders01__3`.`_n`) AS `sum_1`, count(*) AS `count_1`, max(`plan__orders01__3`.`_n`) AS `max_1`, min(`plan__orders01__3`.`_seq`) AS `min_1`, max(`plan__orders01__3`.`_seq`) AS `max_2`, min(`plan__orders01__3`.`_occurred_at`) AS `min_2`, sum(CASE WHEN (`plan__orders01__3`.`_occurred_at` < <time>) THEN 1 ELSE 0 END) AS `sum_2`, min(CASE WHEN (`plan__orders01__3`.`_occurred_at` >= <time>) THEN `plan__orders01__3`.`_occurred_at` END) AS `min_3`, max(abs(`plan__orders01__3`.`value`)) AS `max_3`
FROM `warehouse`.`revetl_test`.`plan__orders01__3` GROUP BY `plan__orders01__3`.`_op`;

SELECT 'farm' AS `anon_1`, count(*) AS `count_1`, CAST(coalesce(sum(CAST(farm_fingerprint(concat(coalesce(concat('=', CAST(`state__orders01`.`_key` AS STRING)), '-'), '\u001f', coalesce(concat('=', CAST(`state__orders01`.`_variant` AS STRING)), '-'), '\u001f', coalesce(concat('=', CAST(`state__orders01`.`_person` AS STRING)), '-'), '\u001f', coalesce(concat('=', CAST(`state__orders01`.`_occurred_at` AS STRING)), '-'), '\u001f', coalesce(concat('=', CAST(`state__orders01`.`_digest` AS STRING)), '-'), '\u001f', coalesce(concat('=', CAST(`state__orders01`.`_contract` AS STRING)), '-'), '\u001f', coalesce(concat('=', CAST(`state__orders01`.`_fence` AS STRING)), '-'), '\u001f', coalesce(concat('=', CAST(`state__orders01`.`_acked_at` AS STRING)), '-'), '\u001f')) AS BIGNUMERIC)), 0) AS STRING) AS `coalesce_1`
FROM `warehouse`.`revetl_test`.`state__orders01`;

SELECT `plan__orders01__3`.`_seq`, `plan__orders01__3`.`_key`, `plan__orders01__3`.`_person`, `plan__orders01__3`.`_anonymous`, `plan__orders01__3`.`_occurred_at`, `plan__orders01__3`.`_variant`, `plan__orders01__3`.`order_id`, CAST(`plan__orders01__3`.`value` AS STRING) AS `value`
FROM `warehouse`.`revetl_test`.`plan__orders01__3`
WHERE `plan__orders01__3`.`_seq` BETWEEN 1 AND 1 ORDER BY `plan__orders01__3`.`_seq`;

UPDATE `warehouse`.`revetl_test`.`ctl__orders01` SET `name`='orders', `lease_until`=(unix_millis(CURRENT_TIMESTAMP) + 180000), `plan_fence`=3, `hwm`=1, `intent_at`=unix_millis(CURRENT_TIMESTAMP), `plan_contract`=1, `key_kind`='text', `contracts`='{"1":{"order_id":"375d55d9-text","value":"936a7e4d-decimal"}}', `workspace_id`='<workspace>', `plan_rows`=1 WHERE `ctl__orders01`.`owner` = '<owner>' AND `ctl__orders01`.`fence` = 3;

UPDATE `warehouse`.`revetl_test`.`ctl__ws` SET `lease_until`=(unix_millis(CURRENT_TIMESTAMP) + 180000) WHERE `ctl__ws`.`owner` = '<owner>' AND `ctl__ws`.`fence` = 2;

BEGIN TRANSACTION;

UPDATE `warehouse`.`revetl_test`.`ctl__orders01` SET `lease_until`=(unix_millis(CURRENT_TIMESTAMP) + 180000), `ack_rows`=(`ctl__orders01`.`ack_rows` + 1) WHERE `ctl__orders01`.`owner` = '<owner>' AND `ctl__orders01`.`fence` = 3;

INSERT INTO `warehouse`.`revetl_test`.`ack__orders01` (`fence`, `seq_from`, `seq_to`, `outcome`, `status`, `reason`, `field`, `message`, `rule`, `outline`) VALUES (@`fence_m0`, @`seq_from_m0`, @`seq_to_m0`, @`outcome_m0`, @`status_m0`, @`reason_m0`, @`field_m0`, @`message_m0`, @`rule_m0`, @`outline_m0`);

COMMIT TRANSACTION;

SELECT `ack__orders01`.`seq_from`, `ack__orders01`.`seq_to`, `ack__orders01`.`outcome`
FROM `warehouse`.`revetl_test`.`ack__orders01`
WHERE `ack__orders01`.`fence` = 3 AND (`ack__orders01`.`outcome` NOT IN ('refused', 'refused_unsure'));

SELECT count(*) AS `count_1`
FROM `warehouse`.`revetl_test`.`ack__orders01`
WHERE `ack__orders01`.`fence` = 3 AND `ack__orders01`.`outcome` IN ('refused', 'refused_unsure');

BEGIN TRANSACTION;

UPDATE `warehouse`.`revetl_test`.`ctl__orders01` SET `lease_until`=(unix_millis(CURRENT_TIMESTAMP) + 180000) WHERE `ctl__orders01`.`owner` = '<owner>' AND `ctl__orders01`.`fence` = 3;

SELECT 'farm' AS `anon_1`, count(*) AS `count_1`, CAST(coalesce(sum(CAST(farm_fingerprint(concat(coalesce(concat('=', CAST(`state__orders01`.`_key` AS STRING)), '-'), '\u001f', coalesce(concat('=', CAST(`state__orders01`.`_variant` AS STRING)), '-'), '\u001f', coalesce(concat('=', CAST(`state__orders01`.`_person` AS STRING)), '-'), '\u001f', coalesce(concat('=', CAST(`state__orders01`.`_occurred_at` AS STRING)), '-'), '\u001f', coalesce(concat('=', CAST(`state__orders01`.`_digest` AS STRING)), '-'), '\u001f', coalesce(concat('=', CAST(`state__orders01`.`_contract` AS STRING)), '-'), '\u001f', coalesce(concat('=', CAST(`state__orders01`.`_fence` AS STRING)), '-'), '\u001f', coalesce(concat('=', CAST(`state__orders01`.`_acked_at` AS STRING)), '-'), '\u001f')) AS BIGNUMERIC)), 0) AS STRING) AS `coalesce_1`
FROM `warehouse`.`revetl_test`.`state__orders01`
WHERE `state__orders01`.`_key` IN (SELECT `plan__orders01__3`.`_key`
FROM `warehouse`.`revetl_test`.`plan__orders01__3`
WHERE `plan__orders01__3`.`_seq` BETWEEN 1 AND 1);

MERGE INTO `warehouse`.`revetl_test`.`state__orders01` AS t USING (SELECT `plan__orders01__3`.`_key`, `plan__orders01__3`.`_variant`, `plan__orders01__3`.`_person`, `plan__orders01__3`.`_occurred_at`, `plan__orders01__3`.`_digest`, CAST(1 AS INT64) AS `_contract`, CAST(3 AS INT64) AS `_fence`, CAST(unix_millis(CURRENT_TIMESTAMP) AS INT64) AS `_acked_at`, `plan__orders01__3`.`_op` IN ('delete', 'suppress') AS `_gone`
FROM `warehouse`.`revetl_test`.`plan__orders01__3`
WHERE `plan__orders01__3`.`_seq` BETWEEN 1 AND 1) AS s ON t.`_key` = s.`_key` AND t.`_variant` = s.`_variant` WHEN MATCHED THEN UPDATE SET `_person` = s.`_person`, `_occurred_at` = s.`_occurred_at`, `_digest` = s.`_digest`, `_contract` = s.`_contract`, `_fence` = s.`_fence`, `_acked_at` = s.`_acked_at` WHEN NOT MATCHED THEN INSERT (`_key`, `_variant`, `_person`, `_occurred_at`, `_digest`, `_contract`, `_fence`, `_acked_at`) VALUES (s.`_key`, s.`_variant`, s.`_person`, s.`_occurred_at`, s.`_digest`, s.`_contract`, s.`_fence`, s.`_acked_at`);

SELECT 'farm' AS `anon_1`, count(*) AS `count_1`, CAST(coalesce(sum(CAST(farm_fingerprint(concat(coalesce(concat('=', CAST(`state__orders01`.`_key` AS STRING)), '-'), '\u001f', coalesce(concat('=', CAST(`state__orders01`.`_variant` AS STRING)), '-'), '\u001f', coalesce(concat('=', CAST(`state__orders01`.`_person` AS STRING)), '-'), '\u001f', coalesce(concat('=', CAST(`state__orders01`.`_occurred_at` AS STRING)), '-'), '\u001f', coalesce(concat('=', CAST(`state__orders01`.`_digest` AS STRING)), '-'), '\u001f', coalesce(concat('=', CAST(`state__orders01`.`_contract` AS STRING)), '-'), '\u001f', coalesce(concat('=', CAST(`state__orders01`.`_fence` AS STRING)), '-'), '\u001f', coalesce(concat('=', CAST(`state__orders01`.`_acked_at` AS STRING)), '-'), '\u001f')) AS BIGNUMERIC)), 0) AS STRING) AS `coalesce_1`
FROM `warehouse`.`revetl_test`.`state__orders01`
WHERE `state__orders01`.`_key` IN (SELECT `plan__orders01__3`.`_key`
FROM `warehouse`.`revetl_test`.`plan__orders01__3`
WHERE `plan__orders01__3`.`_seq` BETWEEN 1 AND 1);

DELETE FROM `warehouse`.`revetl_test`.`ack__orders01` WHERE `ack__orders01`.`fence` <= 3;

UPDATE `warehouse`.`revetl_test`.`ctl__orders01` SET `folded_fence`=3, `initialised`=1, `state_rows`=3, `ack_rows`=0, `state_seal`='{"engine":"bigquery farm","columns":["_key","_variant","_person","_occurred_at","_digest","_contract","_fence","_acked_at"],"rows":3,"sum":"<sum>"}' WHERE `ctl__orders01`.`owner` = '<owner>' AND `ctl__orders01`.`fence` = 3;

COMMIT TRANSACTION;

DROP TABLE IF EXISTS `warehouse`.`revetl_test`.`plan__orders01__3`;

UPDATE `warehouse`.`revetl_test`.`ctl__orders01` SET `owner`=NULL, `lease_until`=0, `last_success_at`=unix_millis(CURRENT_TIMESTAMP) WHERE `ctl__orders01`.`owner` = '<owner>' AND `ctl__orders01`.`fence` = 3;

UPDATE `warehouse`.`revetl_test`.`ctl__ws` SET `owner`=NULL, `lease_until`=0, `last_success_at`=unix_millis(CURRENT_TIMESTAMP) WHERE `ctl__ws`.`owner` = '<owner>' AND `ctl__ws`.`fence` = 2;

DELETE FROM `warehouse`.`revetl_test`.`rates` WHERE `rates`.`owner` = '<owner>';

INSERT INTO `warehouse`.`revetl_test`.`runs` (`run_id`, `command`, `started_at`, `finished_at`, `exit_code`, `version`, `message`) VALUES (@`run_id`, @`command`, @`started_at`, @`finished_at`, @`exit_code`, @`version`, @`message`);

INSERT INTO `warehouse`.`revetl_test`.`sync_log` (`run_id`, `uid`, `name`, `fence`, `status`, `contract`, `finished_at`, `unchanged`, `created`, `updated`, `redriven`, `deleted`, `skipped`, `acknowledged`, `refused`, `held`, `waiting`, `unsent`, `drifted`, `contract_version`, `copied`, `warnings`) VALUES (@`run_id_m0`, @`uid_m0`, @`name_m0`, @`fence_m0`, @`status_m0`, @`contract_m0`, @`finished_at_m0`, @`unchanged_m0`, @`created_m0`, @`updated_m0`, @`redriven_m0`, @`deleted_m0`, @`skipped_m0`, @`acknowledged_m0`, @`refused_m0`, @`held_m0`, @`waiting_m0`, @`unsent_m0`, @`drifted_m0`, @`contract_version_m0`, @`copied_m0`, @`warnings_m0`), (@`run_id_m1`, @`uid_m1`, @`name_m1`, @`fence_m1`, @`status_m1`, @`contract_m1`, @`finished_at_m1`, @`unchanged_m1`, @`created_m1`, @`updated_m1`, @`redriven_m1`, @`deleted_m1`, @`skipped_m1`, @`acknowledged_m1`, @`refused_m1`, @`held_m1`, @`waiting_m1`, @`unsent_m1`, @`drifted_m1`, @`contract_version_m1`, @`copied_m1`, @`warnings_m1`);
