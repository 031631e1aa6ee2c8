SELECT table_name, column_name, data_type, numeric_scale FROM information_schema.columns WHERE table_schema = :schema ORDER BY table_name, ordinal_position;

SELECT "revetl_test".ctl__ws."name", "revetl_test".ctl__ws."schema_version", "revetl_test".ctl__ws."fence", "revetl_test".ctl__ws."owner", "revetl_test".ctl__ws."lease_until", "revetl_test".ctl__ws."drain_until", "revetl_test".ctl__ws."plan_fence", "revetl_test".ctl__ws."hwm", "revetl_test".ctl__ws."intent_at", "revetl_test".ctl__ws."folded_fence", "revetl_test".ctl__ws."plan_ts", "revetl_test".ctl__ws."plan_contract", "revetl_test".ctl__ws."initialised", "revetl_test".ctl__ws."state_rows", "revetl_test".ctl__ws."key_kind", "revetl_test".ctl__ws."contracts", "revetl_test".ctl__ws."workspace_id", "revetl_test".ctl__ws."id_scheme", "revetl_test".ctl__ws."last_success_at", "revetl_test".ctl__ws."plan_rows", "revetl_test".ctl__ws."ack_rows", "revetl_test".ctl__ws."state_seal", "revetl_test".ctl__ws."open_seal", "revetl_test".ctl__ws."verified_at", "revetl_test".ctl__ws."key_print", "revetl_test".ctl__ws."key_since", "revetl_test".ctl__ws."contract", "revetl_test".ctl__ws."copies", "revetl_test".ctl__ws."compared_at", -1 AS anon_1, -1 AS anon_2, -1 AS anon_3, 0 AS anon_4
FROM "revetl_test".ctl__ws;

SELECT *
FROM (
SELECT * FROM people
) AS m
 LIMIT 0;

UPDATE "revetl_test".ctl__people01 SET "fence"=("revetl_test".ctl__people01."fence" + :fence_1), "owner"=:owner, "lease_until"=(CAST(floor(date_part(:date_part_1, getdate())) AS BIGINT) * :param_1 + :param_2), "drain_until"=CASE WHEN ("revetl_test".ctl__people01."owner" IS NOT NULL AND "revetl_test".ctl__people01."lease_until" + :lease_until_1 > "revetl_test".ctl__people01."drain_until") THEN "revetl_test".ctl__people01."lease_until" + :lease_until_2 ELSE "revetl_test".ctl__people01."drain_until" END WHERE ("revetl_test".ctl__people01."owner" IS NULL OR "revetl_test".ctl__people01."lease_until" < CAST(floor(date_part(:date_part_1, getdate())) AS BIGINT) * :param_1) AND "revetl_test".ctl__people01."fence" >= (SELECT coalesce(max("revetl_test".sync_log."fence"), :coalesce_2) AS coalesce_1
FROM "revetl_test".sync_log
WHERE "revetl_test".sync_log."uid" = :uid_1);

SELECT "revetl_test".ctl__people01."name", "revetl_test".ctl__people01."schema_version", "revetl_test".ctl__people01."fence", "revetl_test".ctl__people01."owner", "revetl_test".ctl__people01."lease_until", "revetl_test".ctl__people01."drain_until", "revetl_test".ctl__people01."plan_fence", "revetl_test".ctl__people01."hwm", "revetl_test".ctl__people01."intent_at", "revetl_test".ctl__people01."folded_fence", "revetl_test".ctl__people01."plan_ts", "revetl_test".ctl__people01."plan_contract", "revetl_test".ctl__people01."initialised", "revetl_test".ctl__people01."state_rows", "revetl_test".ctl__people01."key_kind", "revetl_test".ctl__people01."contracts", "revetl_test".ctl__people01."workspace_id", "revetl_test".ctl__people01."id_scheme", "revetl_test".ctl__people01."last_success_at", "revetl_test".ctl__people01."plan_rows", "revetl_test".ctl__people01."ack_rows", "revetl_test".ctl__people01."state_seal", "revetl_test".ctl__people01."open_seal", "revetl_test".ctl__people01."verified_at", "revetl_test".ctl__people01."key_print", "revetl_test".ctl__people01."key_since", "revetl_test".ctl__people01."contract", "revetl_test".ctl__people01."copies", "revetl_test".ctl__people01."compared_at", (SELECT count(*) AS count_1
FROM "revetl_test".state__people01) AS anon_1, (SELECT count(*) AS count_2
FROM "revetl_test".open__people01) AS anon_2, (SELECT count(*) AS count_3
FROM "revetl_test".ack__people01) AS anon_3, (SELECT coalesce(max("revetl_test".sync_log."fence"), 0) AS coalesce_1
FROM "revetl_test".sync_log
WHERE "revetl_test".sync_log."uid" = 'people01') AS anon_4
FROM "revetl_test".ctl__people01;

SELECT CAST(floor(date_part('epoch', getdate())) AS BIGINT) * 1000 AS anon_1;

CREATE TABLE "revetl_test".plan__people01__3 AS SELECT CAST(CASE WHEN (g._op IN ('release', 'clear', 'create', 'update', 'redrive', 'event', 'shadow', 'delete', 'suppress', 'held')) THEN row_number() OVER (ORDER BY CASE WHEN (g._op IN ('release', 'clear', 'create', 'update', 'redrive', 'event', 'shadow')) THEN 1 WHEN (g._op IN ('delete', 'suppress')) THEN 2 WHEN (g._op = 'held') THEN 8 ELSE 9 END, g._key) END AS BIGINT) AS _seq, g._op, g._key, CAST(g._n AS BIGINT) AS _n, g."_m0", g."_fresh", g."email", g."plan", g."spent"
FROM (SELECT r._op AS _op, CASE WHEN (r._op IN ('release', 'clear', 'create', 'update', 'redrive', 'event', 'shadow', 'delete', 'suppress', 'held', 'collision')) THEN r._key END AS _key, count(*) AS _n, any_value(r._m0) AS "_m0", any_value(r._fresh) AS "_fresh", any_value(r."email") AS "email", any_value(r."plan") AS "plan", any_value(r."spent") AS "spent"
FROM (SELECT CASE WHEN (l._m IS NULL) THEN 'gone' WHEN (l._matched AND l."_outcome" IS NULL AND l._m0 = 0) THEN 'same' WHEN (coalesce(BTRIM(replace(l._key, '​', '')), '') = '') THEN 'bad_key' WHEN (l."_outcome" = 'refused' AND l._o_contract = '5a6c2097ac6c66b2' AND l."_last_try" > <time> AND l."_values" = CASE WHEN (l."_outcome" = 'refused') THEN md5((coalesce((CAST(length(CAST(l."email" AS VARCHAR(65535))) AS VARCHAR(65535)) || ':' || CAST(l."email" AS VARCHAR(65535))), '-') || coalesce((CAST(length(CAST(l."plan" AS VARCHAR(65535))) AS VARCHAR(65535)) || ':' || CAST(l."plan" AS VARCHAR(65535))), '-') || coalesce((CAST(length(CAST(l."spent" AS VARCHAR(65535))) AS VARCHAR(65535)) || ':' || CAST(l."spent" AS VARCHAR(65535))), '-'))) END AND l._matched) THEN 'refused_update' WHEN (l."_outcome" = 'refused' AND l._o_contract = '5a6c2097ac6c66b2' AND l."_last_try" > <time> AND l."_values" = CASE WHEN (l."_outcome" = 'refused') THEN md5((coalesce((CAST(length(CAST(l."email" AS VARCHAR(65535))) AS VARCHAR(65535)) || ':' || CAST(l."email" AS VARCHAR(65535))), '-') || coalesce((CAST(length(CAST(l."plan" AS VARCHAR(65535))) AS VARCHAR(65535)) || ':' || CAST(l."plan" AS VARCHAR(65535))), '-') || coalesce((CAST(length(CAST(l."spent" AS VARCHAR(65535))) AS VARCHAR(65535)) || ':' || CAST(l."spent" AS VARCHAR(65535))), '-'))) END) THEN 'refused' WHEN (l."_outcome" = 'unknown' OR l."_outcome" = 'refused' AND (l._matched OR l._o_op IN ('redrive', 'clear', 'delete', 'suppress'))) THEN 'redrive' WHEN NOT l._matched THEN 'create' WHEN (l._m0 != 0) THEN 'update' ELSE 'same' END AS _op, l._key AS _key, l._m0 AS _m0, l._fresh AS _fresh, l."email" AS "email", l."plan" AS "plan", l."spent" AS "spent"
FROM (SELECT coalesce(m._key, t."_key", o._key) AS _key, m._m AS _m, t."_key" IS NOT NULL AS _matched, o."_op" AS _o_op, o."_outcome" AS "_outcome", o."_contract" AS _o_contract, o."_values" AS "_values", o."_last_try" AS "_last_try", false AS _fresh, CAST(CASE WHEN (t."_key" IS NOT NULL) THEN CASE WHEN (m."email" IS NOT NULL AND (CASE WHEN m."email" IS NULL THEN t."email" IS NOT NULL WHEN t."email" IS NULL THEN TRUE ELSE m."email" <> t."email" END)) THEN 1 ELSE 0 END + CASE WHEN (m."plan" IS NOT NULL AND (CASE WHEN m."plan" IS NULL THEN t."plan" IS NOT NULL WHEN t."plan" IS NULL THEN TRUE ELSE m."plan" <> t."plan" END)) THEN 2 ELSE 0 END + CASE WHEN (m."spent" IS NOT NULL AND (CASE WHEN m."spent" IS NULL THEN t."spent" IS NOT NULL WHEN t."spent" IS NULL THEN TRUE ELSE m."spent" <> t."spent" END)) THEN 4 ELSE 0 END ELSE 0 END AS BIGINT) AS _m0, coalesce(m."email", t."email") AS "email", coalesce(m."plan", t."plan") AS "plan", coalesce(m."spent", t."spent") AS "spent"
FROM (SELECT 1 AS _m, "id" AS _key, CAST("email" AS VARCHAR(65535)) AS "email", CAST("plan" AS VARCHAR(65535)) AS "plan", CAST("spent" AS NUMERIC(38, 2)) AS "spent"
FROM (
SELECT * FROM people
) AS m) AS m FULL OUTER JOIN "revetl_test".state__people01 AS t ON t."_key" = m._key LEFT OUTER JOIN (SELECT "revetl_test".open__people01."_key" AS _key, "revetl_test".open__people01."_variant" AS "_variant", "revetl_test".open__people01."_op" AS "_op", "revetl_test".open__people01."_outcome" AS "_outcome", "revetl_test".open__people01."_contract" AS "_contract", "revetl_test".open__people01."_values" AS "_values", "revetl_test".open__people01."_first_at" AS "_first_at", "revetl_test".open__people01."_last_try" AS "_last_try"
FROM "revetl_test".open__people01
WHERE false) AS o ON o._key = coalesce(m._key, t."_key")) AS l) AS r GROUP BY r._op, CASE WHEN (r._op IN ('release', 'clear', 'create', 'update', 'redrive', 'event', 'shadow', 'delete', 'suppress', 'held', 'collision')) THEN r._key END) AS g;

SELECT "revetl_test".plan__people01__3."_op", sum("revetl_test".plan__people01__3."_n") AS sum_1, count(*) AS count_1, max("revetl_test".plan__people01__3."_n") AS max_1, min("revetl_test".plan__people01__3."_seq") AS min_1, max("revetl_test".plan__people01__3."_seq") AS max_2, sum(CASE WHEN "revetl_test".plan__people01__3."_fresh" THEN 1 ELSE 0 END) AS sum_2, sum(CASE WHEN (("revetl_test".plan__people01__3."_m0" & 1) != 0) THEN 1 ELSE 0 END) AS sum_3, sum(CASE WHEN (("revetl_test".plan__people01__3."_m0" & 2) != 0) THEN 1 ELSE 0 END) AS sum_4, sum(CASE WHEN (("revetl_test".plan__people01__3."_m0" & 4) != 0) THEN 1 ELSE 0 END) AS sum_5, max(abs("revetl_test".plan__people01__3."spent")) AS max_3
FROM "revetl_test".plan__people01__3 GROUP BY "revetl_test".plan__people01__3."_op";

SELECT 'md5' AS anon_1, count(*) AS count_1, CAST(coalesce(sum(CAST(strtol(SUBSTRING(md5((coalesce(('=' || CAST("revetl_test".state__people01."_key" AS VARCHAR(65535))), '-') || coalesce(('=' || CAST("revetl_test".state__people01."email" AS VARCHAR(65535))), '-') || coalesce(('=' || CAST("revetl_test".state__people01."plan" AS VARCHAR(65535))), '-') || coalesce(('=' || CAST("revetl_test".state__people01."spent" AS VARCHAR(65535))), '-') || coalesce(('=' || CAST("revetl_test".state__people01."_contract" AS VARCHAR(65535))), '-') || coalesce(('=' || CAST("revetl_test".state__people01."_fence" AS VARCHAR(65535))), '-') || coalesce(('=' || CAST("revetl_test".state__people01."_acked_at" AS VARCHAR(65535))), '-') || '')) FROM 1 FOR 15), 16) AS NUMERIC(38, 0))), 0) AS VARCHAR(65535)) AS coalesce_1
FROM "revetl_test".state__people01;

UPDATE "revetl_test".ctl__ws SET "fence"=("revetl_test".ctl__ws."fence" + :fence_1), "owner"=:owner, "lease_until"=(CAST(floor(date_part(:date_part_1, getdate())) AS BIGINT) * :param_1 + :param_2), "drain_until"=CASE WHEN ("revetl_test".ctl__ws."owner" IS NOT NULL AND "revetl_test".ctl__ws."lease_until" + :lease_until_1 > "revetl_test".ctl__ws."drain_until") THEN "revetl_test".ctl__ws."lease_until" + :lease_until_2 ELSE "revetl_test".ctl__ws."drain_until" END WHERE ("revetl_test".ctl__ws."owner" IS NULL OR "revetl_test".ctl__ws."lease_until" < CAST(floor(date_part(:date_part_1, getdate())) AS BIGINT) * :param_1) AND "revetl_test".ctl__ws."fence" >= :param_3;

SELECT "revetl_test".ctl__ws."name", "revetl_test".ctl__ws."schema_version", "revetl_test".ctl__ws."fence", "revetl_test".ctl__ws."owner", "revetl_test".ctl__ws."lease_until", "revetl_test".ctl__ws."drain_until", "revetl_test".ctl__ws."plan_fence", "revetl_test".ctl__ws."hwm", "revetl_test".ctl__ws."intent_at", "revetl_test".ctl__ws."folded_fence", "revetl_test".ctl__ws."plan_ts", "revetl_test".ctl__ws."plan_contract", "revetl_test".ctl__ws."initialised", "revetl_test".ctl__ws."state_rows", "revetl_test".ctl__ws."key_kind", "revetl_test".ctl__ws."contracts", "revetl_test".ctl__ws."workspace_id", "revetl_test".ctl__ws."id_scheme", "revetl_test".ctl__ws."last_success_at", "revetl_test".ctl__ws."plan_rows", "revetl_test".ctl__ws."ack_rows", "revetl_test".ctl__ws."state_seal", "revetl_test".ctl__ws."open_seal", "revetl_test".ctl__ws."verified_at", "revetl_test".ctl__ws."key_print", "revetl_test".ctl__ws."key_since", "revetl_test".ctl__ws."contract", "revetl_test".ctl__ws."copies", "revetl_test".ctl__ws."compared_at", -1 AS anon_1, -1 AS anon_2, -1 AS anon_3, 0 AS anon_4
FROM "revetl_test".ctl__ws;

BEGIN;

UPDATE "revetl_test".ctl__ws SET "verified_at"=(CAST(floor(date_part(:date_part_1, getdate())) AS BIGINT) * :param_1);

SELECT CAST(floor(date_part(:date_part_1, getdate())) AS BIGINT) * :param_1 AS ms, CAST(NULL AS VARCHAR(65535)) AS lane, CAST(NULL AS DOUBLE PRECISION) AS part UNION ALL SELECT CAST(floor(date_part(:date_part_1, getdate())) AS BIGINT) * :param_1 AS anon_1, "revetl_test".rates."lane", "revetl_test".rates."part"
FROM "revetl_test".rates
WHERE "revetl_test".rates."owner" != :owner_1 AND "revetl_test".rates."until" > CAST(floor(date_part(:date_part_1, getdate())) AS BIGINT) * :param_1;

DELETE FROM "revetl_test".rates WHERE "revetl_test".rates."owner" = :owner_1 OR "revetl_test".rates."until" <= :until_1;

INSERT INTO "revetl_test".rates ("owner", "lane", "part", "until") VALUES (:owner, :lane, :part, :until);

COMMIT;

SELECT "revetl_test".plan__people01__3."_seq", "revetl_test".plan__people01__3."_op", "revetl_test".plan__people01__3."_key", "revetl_test".plan__people01__3."_m0", "revetl_test".plan__people01__3."email", "revetl_test".plan__people01__3."plan", CAST("revetl_test".plan__people01__3."spent" AS DOUBLE PRECISION) AS "spent"
FROM "revetl_test".plan__people01__3
WHERE "revetl_test".plan__people01__3."_seq" BETWEEN 1 AND 2 ORDER BY "revetl_test".plan__people01__3."_seq";

UPDATE "revetl_test".ctl__people01 SET "name"=:name, "lease_until"=(CAST(floor(date_part(:date_part_1, getdate())) AS BIGINT) * :param_1 + :param_2), "plan_fence"=:plan_fence, "hwm"=:hwm, "intent_at"=(CAST(floor(date_part(:date_part_1, getdate())) AS BIGINT) * :param_1), "plan_contract"=:plan_contract, "key_kind"=:key_kind, "contracts"=:contracts, "workspace_id"=:workspace_id, "plan_rows"=:plan_rows WHERE "revetl_test".ctl__people01."owner" = :owner_1 AND "revetl_test".ctl__people01."fence" = :fence_1;

UPDATE "revetl_test".ctl__ws SET "lease_until"=(CAST(floor(date_part(:date_part_1, getdate())) AS BIGINT) * :param_1 + :param_2) WHERE "revetl_test".ctl__ws."owner" = :owner_1 AND "revetl_test".ctl__ws."fence" = :fence_1;

BEGIN;

UPDATE "revetl_test".ctl__people01 SET "lease_until"=(CAST(floor(date_part(:date_part_1, getdate())) AS BIGINT) * :param_1 + :param_2), "ack_rows"=("revetl_test".ctl__people01."ack_rows" + :ack_rows_1) WHERE "revetl_test".ctl__people01."owner" = :owner_1 AND "revetl_test".ctl__people01."fence" = :fence_1;

INSERT INTO "revetl_test".ack__people01 ("fence", "seq_from", "seq_to", "outcome", "status", "reason", "field", "message", "rule", "outline") VALUES (:fence_m0, :seq_from_m0, :seq_to_m0, :outcome_m0, :status_m0, :reason_m0, :field_m0, :message_m0, :rule_m0, :outline_m0);

COMMIT;

SELECT "revetl_test".ack__people01."seq_from", "revetl_test".ack__people01."seq_to", "revetl_test".ack__people01."outcome"
FROM "revetl_test".ack__people01
WHERE "revetl_test".ack__people01."fence" = 3 AND ("revetl_test".ack__people01."outcome" NOT IN ('refused', 'refused_unsure'));

SELECT count(*) AS count_1
FROM "revetl_test".ack__people01
WHERE "revetl_test".ack__people01."fence" = 3 AND "revetl_test".ack__people01."outcome" IN ('refused', 'refused_unsure');

BEGIN;

UPDATE "revetl_test".ctl__people01 SET "lease_until"=(CAST(floor(date_part(:date_part_1, getdate())) AS BIGINT) * :param_1 + :param_2) WHERE "revetl_test".ctl__people01."owner" = :owner_1 AND "revetl_test".ctl__people01."fence" = :fence_1;

SELECT 'md5' AS anon_1, count(*) AS count_1, CAST(coalesce(sum(CAST(strtol(SUBSTRING(md5((coalesce(('=' || CAST("revetl_test".state__people01."_key" AS VARCHAR(65535))), '-') || coalesce(('=' || CAST("revetl_test".state__people01."email" AS VARCHAR(65535))), '-') || coalesce(('=' || CAST("revetl_test".state__people01."plan" AS VARCHAR(65535))), '-') || coalesce(('=' || CAST("revetl_test".state__people01."spent" AS VARCHAR(65535))), '-') || coalesce(('=' || CAST("revetl_test".state__people01."_contract" AS VARCHAR(65535))), '-') || coalesce(('=' || CAST("revetl_test".state__people01."_fence" AS VARCHAR(65535))), '-') || coalesce(('=' || CAST("revetl_test".state__people01."_acked_at" AS VARCHAR(65535))), '-') || '')) FROM 1 FOR 15), 16) AS NUMERIC(38, 0))), 0) AS VARCHAR(65535)) AS coalesce_1
FROM "revetl_test".state__people01
WHERE "revetl_test".state__people01."_key" IN (SELECT "revetl_test".plan__people01__3."_key"
FROM "revetl_test".plan__people01__3
WHERE "revetl_test".plan__people01__3."_seq" BETWEEN 1 AND 2);

CREATE TEMP TABLE merge__state__people01 AS SELECT "revetl_test".plan__people01__3."_key", "revetl_test".plan__people01__3."email", "revetl_test".plan__people01__3."plan", "revetl_test".plan__people01__3."spent", CAST(1 AS BIGINT) AS _contract, CAST(3 AS BIGINT) AS _fence, CAST(CAST(floor(date_part('epoch', getdate())) AS BIGINT) * 1000 AS BIGINT) AS _acked_at, "revetl_test".plan__people01__3."_op" IN ('delete', 'suppress') AS _gone
FROM "revetl_test".plan__people01__3
WHERE "revetl_test".plan__people01__3."_seq" BETWEEN 1 AND 2;

DELETE FROM "revetl_test".state__people01 USING merge__state__people01 WHERE "revetl_test".state__people01."_key" = merge__state__people01."_key" AND merge__state__people01."_gone";

UPDATE "revetl_test".state__people01 SET "email"=merge__state__people01."email", "plan"=merge__state__people01."plan", "spent"=merge__state__people01."spent", "_contract"=merge__state__people01."_contract", "_fence"=merge__state__people01."_fence", "_acked_at"=merge__state__people01."_acked_at" FROM merge__state__people01 WHERE "revetl_test".state__people01."_key" = merge__state__people01."_key" AND NOT merge__state__people01."_gone";

INSERT INTO "revetl_test".state__people01 ("_key", "email", "plan", "spent", "_contract", "_fence", "_acked_at") SELECT merge__state__people01."_key", merge__state__people01."email", merge__state__people01."plan", merge__state__people01."spent", merge__state__people01."_contract", merge__state__people01."_fence", merge__state__people01."_acked_at"
FROM merge__state__people01
WHERE NOT merge__state__people01."_gone" AND NOT (EXISTS (SELECT *
FROM "revetl_test".state__people01
WHERE "revetl_test".state__people01."_key" = merge__state__people01."_key"));

DROP TABLE merge__state__people01;

SELECT 'md5' AS anon_1, count(*) AS count_1, CAST(coalesce(sum(CAST(strtol(SUBSTRING(md5((coalesce(('=' || CAST("revetl_test".state__people01."_key" AS VARCHAR(65535))), '-') || coalesce(('=' || CAST("revetl_test".state__people01."email" AS VARCHAR(65535))), '-') || coalesce(('=' || CAST("revetl_test".state__people01."plan" AS VARCHAR(65535))), '-') || coalesce(('=' || CAST("revetl_test".state__people01."spent" AS VARCHAR(65535))), '-') || coalesce(('=' || CAST("revetl_test".state__people01."_contract" AS VARCHAR(65535))), '-') || coalesce(('=' || CAST("revetl_test".state__people01."_fence" AS VARCHAR(65535))), '-') || coalesce(('=' || CAST("revetl_test".state__people01."_acked_at" AS VARCHAR(65535))), '-') || '')) FROM 1 FOR 15), 16) AS NUMERIC(38, 0))), 0) AS VARCHAR(65535)) AS coalesce_1
FROM "revetl_test".state__people01
WHERE "revetl_test".state__people01."_key" IN (SELECT "revetl_test".plan__people01__3."_key"
FROM "revetl_test".plan__people01__3
WHERE "revetl_test".plan__people01__3."_seq" BETWEEN 1 AND 2);

DELETE FROM "revetl_test".ack__people01 WHERE "revetl_test".ack__people01."fence" <= :fence_1;

UPDATE "revetl_test".ctl__people01 SET "folded_fence"=:folded_fence, "initialised"=:initialised, "state_rows"=:state_rows, "ack_rows"=:ack_rows, "state_seal"=:state_seal WHERE "revetl_test".ctl__people01."owner" = :owner_1 AND "revetl_test".ctl__people01."fence" = :fence_1;

COMMIT;

SELECT CASE WHEN (BTRIM(replace(replace(g._a, '​', ''), '﻿', ''), '







             ​‌‍‎‏

  ⁠　﻿') LIKE '%.0' OR BTRIM(replace(replace(g._z, '​', ''), '﻿', ''), '







             ​‌‍‎‏

  ⁠　﻿') LIKE '%.0' OR BTRIM(replace(replace(g._a, '​', ''), '﻿', ''), '







             ​‌‍‎‏

  ⁠　﻿') LIKE '%.00' OR BTRIM(replace(replace(g._z, '​', ''), '﻿', ''), '







             ​‌‍‎‏

  ⁠　﻿') LIKE '%.00') THEN 'float' WHEN (lower(g._a) = lower(g._z)) THEN 'case' WHEN (ltrim(g._a, '0') = ltrim(g._z, '0')) THEN 'zeros' ELSE 'blanks' END AS anon_1, sum(g._new) AS sum_1, min(g._a) AS min_1, min(g._z) AS min_2
FROM (SELECT min(k."_key") AS _a, max(k."_key") AS _z, sum(k._new) AS _new
FROM (SELECT "revetl_test".plan__people01__3."_key" AS "_key", 1 AS _new
FROM "revetl_test".plan__people01__3
WHERE "revetl_test".plan__people01__3."_op" = 'create' UNION ALL SELECT "revetl_test".state__people01."_key" AS "_key", 0 AS anon_2
FROM "revetl_test".state__people01) AS k GROUP BY CASE WHEN (ltrim(lower(BTRIM(replace(replace(k."_key", '​', ''), '﻿', ''), '







             ​‌‍‎‏

  ⁠　﻿')), '0') LIKE '%.0%') THEN rtrim(rtrim(ltrim(lower(BTRIM(replace(replace(k."_key", '​', ''), '﻿', ''), '







             ​‌‍‎‏

  ⁠　﻿')), '0'), '0'), '.') ELSE ltrim(lower(BTRIM(replace(replace(k."_key", '​', ''), '﻿', ''), '







             ​‌‍‎‏

  ⁠　﻿')), '0') END
HAVING min(k."_key") != max(k."_key") AND sum(k._new) > 0) AS g GROUP BY CASE WHEN (BTRIM(replace(replace(g._a, '​', ''), '﻿', ''), '







             ​‌‍‎‏

  ⁠　﻿') LIKE '%.0' OR BTRIM(replace(replace(g._z, '​', ''), '﻿', ''), '







             ​‌‍‎‏

  ⁠　﻿') LIKE '%.0' OR BTRIM(replace(replace(g._a, '​', ''), '﻿', ''), '







             ​‌‍‎‏

  ⁠　﻿') LIKE '%.00' OR BTRIM(replace(replace(g._z, '​', ''), '﻿', ''), '







             ​‌‍‎‏

  ⁠　﻿') LIKE '%.00') THEN 'float' WHEN (lower(g._a) = lower(g._z)) THEN 'case' WHEN (ltrim(g._a, '0') = ltrim(g._z, '0')) THEN 'zeros' ELSE 'blanks' END ORDER BY CASE WHEN (BTRIM(replace(replace(g._a, '​', ''), '﻿', ''), '







             ​‌‍‎‏

  ⁠　﻿') LIKE '%.0' OR BTRIM(replace(replace(g._z, '​', ''), '﻿', ''), '







             ​‌‍‎‏

  ⁠　﻿') LIKE '%.0' OR BTRIM(replace(replace(g._a, '​', ''), '﻿', ''), '







             ​‌‍‎‏

  ⁠　﻿') LIKE '%.00' OR BTRIM(replace(replace(g._z, '​', ''), '﻿', ''), '







             ​‌‍‎‏

  ⁠　﻿') LIKE '%.00') THEN 'float' WHEN (lower(g._a) = lower(g._z)) THEN 'case' WHEN (ltrim(g._a, '0') = ltrim(g._z, '0')) THEN 'zeros' ELSE 'blanks' END;

DROP TABLE IF EXISTS "revetl_test".plan__people01__3;

UPDATE "revetl_test".ctl__people01 SET "owner"=NULL, "lease_until"=:lease_until, "last_success_at"=(CAST(floor(date_part(:date_part_1, getdate())) AS BIGINT) * :param_1) WHERE "revetl_test".ctl__people01."owner" = :owner_1 AND "revetl_test".ctl__people01."fence" = :fence_1;

SELECT *
FROM (
SELECT * FROM orders
) AS m
 LIMIT 0;

UPDATE "revetl_test".ctl__orders01 SET "fence"=("revetl_test".ctl__orders01."fence" + :fence_1), "owner"=:owner, "lease_until"=(CAST(floor(date_part(:date_part_1, getdate())) AS BIGINT) * :param_1 + :param_2), "drain_until"=CASE WHEN ("revetl_test".ctl__orders01."owner" IS NOT NULL AND "revetl_test".ctl__orders01."lease_until" + :lease_until_1 > "revetl_test".ctl__orders01."drain_until") THEN "revetl_test".ctl__orders01."lease_until" + :lease_until_2 ELSE "revetl_test".ctl__orders01."drain_until" END WHERE ("revetl_test".ctl__orders01."owner" IS NULL OR "revetl_test".ctl__orders01."lease_until" < CAST(floor(date_part(:date_part_1, getdate())) AS BIGINT) * :param_1) AND "revetl_test".ctl__orders01."fence" >= (SELECT coalesce(max("revetl_test".sync_log."fence"), :coalesce_2) AS coalesce_1
FROM "revetl_test".sync_log
WHERE "revetl_test".sync_log."uid" = :uid_1);

SELECT "revetl_test".ctl__orders01."name", "revetl_test".ctl__orders01."schema_version", "revetl_test".ctl__orders01."fence", "revetl_test".ctl__orders01."owner", "revetl_test".ctl__orders01."lease_until", "revetl_test".ctl__orders01."drain_until", "revetl_test".ctl__orders01."plan_fence", "revetl_test".ctl__orders01."hwm", "revetl_test".ctl__orders01."intent_at", "revetl_test".ctl__orders01."folded_fence", "revetl_test".ctl__orders01."plan_ts", "revetl_test".ctl__orders01."plan_contract", "revetl_test".ctl__orders01."initialised", "revetl_test".ctl__orders01."state_rows", "revetl_test".ctl__orders01."key_kind", "revetl_test".ctl__orders01."contracts", "revetl_test".ctl__orders01."workspace_id", "revetl_test".ctl__orders01."id_scheme", "revetl_test".ctl__orders01."last_success_at", "revetl_test".ctl__orders01."plan_rows", "revetl_test".ctl__orders01."ack_rows", "revetl_test".ctl__orders01."state_seal", "revetl_test".ctl__orders01."open_seal", "revetl_test".ctl__orders01."verified_at", "revetl_test".ctl__orders01."key_print", "revetl_test".ctl__orders01."key_since", "revetl_test".ctl__orders01."contract", "revetl_test".ctl__orders01."copies", "revetl_test".ctl__orders01."compared_at", (SELECT count(*) AS count_1
FROM "revetl_test".state__orders01) AS anon_1, (SELECT count(*) AS count_2
FROM "revetl_test".open__orders01) AS anon_2, (SELECT count(*) AS count_3
FROM "revetl_test".ack__orders01) AS anon_3, (SELECT coalesce(max("revetl_test".sync_log."fence"), 0) AS coalesce_1
FROM "revetl_test".sync_log
WHERE "revetl_test".sync_log."uid" = 'orders01') AS anon_4
FROM "revetl_test".ctl__orders01;

SELECT CAST(floor(date_part('epoch', getdate())) AS BIGINT) * 1000 AS anon_1;

CREATE TABLE "revetl_test".plan__orders01__3 AS SELECT CAST(CASE WHEN (g._op IN ('release', 'clear', 'create', 'update', 'redrive', 'event', 'shadow', 'delete', 'suppress', 'held')) THEN row_number() OVER (ORDER BY CASE WHEN (g._op IN ('release', 'clear', 'create', 'update', 'redrive', 'event', 'shadow')) THEN 1 WHEN (g._op IN ('delete', 'suppress')) THEN 2 WHEN (g._op = 'held') THEN 8 ELSE 9 END, g."_occurred_at", g._key) END AS BIGINT) AS _seq, g._op, g._key, CAST(g._n AS BIGINT) AS _n, g."_person", g."_anonymous", g."_occurred_at", g."_variant", g."_digest", g."order_id", g."value"
FROM (SELECT r._op AS _op, CASE WHEN (r._op IN ('release', 'clear', 'create', 'update', 'redrive', 'event', 'shadow', 'delete', 'suppress', 'held', 'collision')) THEN r._key END AS _key, count(*) AS _n, any_value(r._person) AS "_person", any_value(r._anonymous) AS "_anonymous", any_value(r._occurred_at) AS "_occurred_at", any_value(r._variant) AS "_variant", any_value(r._digest) AS "_digest", any_value(r."order_id") AS "order_id", any_value(r."value") AS "value"
FROM (SELECT CASE WHEN (d._m IS NULL) THEN 'gone' WHEN (t."_key" IS NOT NULL AND t."_contract" = 1 AND t._digest != d._digest) THEN 'drift' WHEN (t."_key" IS NOT NULL) THEN 'same' WHEN (coalesce(BTRIM(replace(d."_key", '​', '')), '') = '') THEN 'bad_key' WHEN (o."_outcome" = 'unknown' AND o."_first_at" < <time>) THEN 'held' WHEN (o."_outcome" = 'held') THEN 'held_before' WHEN (d._person IS NULL) THEN 'skipped' WHEN (NOT (live_person."_key" IS NOT NULL AND doubtful_person."_key" IS NULL)) THEN 'waiting' WHEN (o."_outcome" = 'refused' AND o."_contract" = '2ed42027029ff245' AND o."_values" = d._digest AND o."_last_try" > <time>) THEN 'refused' WHEN ((o."_outcome" IN ('unknown', 'held') OR o."_op" = 'doubt') AND o."_first_at" < <time>) THEN 'held' WHEN (d._occurred_at < <time>) THEN 'late' WHEN (d._occurred_at > <time>) THEN 'future' WHEN false THEN 'shadow' ELSE 'event' END AS _op, coalesce(d."_key", t."_key") AS _key, d._person AS _person, d._anonymous AS _anonymous, d._occurred_at AS _occurred_at, '' AS _variant, d._digest AS _digest, d."order_id" AS "order_id", d."value" AS "value"
FROM (SELECT m._m AS _m, m._key AS "_key", m._person AS _person, m._anonymous AS _anonymous, m._occurred_at AS _occurred_at, m."order_id" AS "order_id", m."value" AS "value", md5((coalesce((CAST(length(CAST(m._person AS VARCHAR(65535))) AS VARCHAR(65535)) || ':' || CAST(m._person AS VARCHAR(65535))), '-') || coalesce((CAST(length(CAST(m._occurred_at AS VARCHAR(65535))) AS VARCHAR(65535)) || ':' || CAST(m._occurred_at AS VARCHAR(65535))), '-') || coalesce((CAST(length(CAST(m."order_id" AS VARCHAR(65535))) AS VARCHAR(65535)) || ':' || CAST(m."order_id" AS VARCHAR(65535))), '-') || coalesce((CAST(length(CAST(m."value" AS VARCHAR(65535))) AS VARCHAR(65535)) || ':' || CAST(m."value" AS VARCHAR(65535))), '-'))) AS _digest, '' AS _variant
FROM (SELECT 1 AS _m, "order_id" AS _key, CASE WHEN (coalesce(BTRIM(replace("person", '​', '')), '') = '') THEN CAST(NULL AS VARCHAR(65535)) ELSE "person" END AS _person, CAST(NULL AS VARCHAR(65535)) AS _anonymous, CAST(CAST(floor(date_part('epoch', "bought_at")) AS BIGINT) AS BIGINT) AS _occurred_at, CAST("order_id" AS VARCHAR(65535)) AS "order_id", CAST("value" AS NUMERIC(38, 2)) AS "value"
FROM (
SELECT * FROM orders
) AS m) AS m) AS d FULL OUTER JOIN (SELECT "revetl_test".state__orders01."_key" AS "_key", "revetl_test".state__orders01."_variant" AS "_variant", "revetl_test".state__orders01."_contract" AS "_contract", "revetl_test".state__orders01."_digest" AS _digest, "revetl_test".state__orders01."_occurred_at" AS _occurred_at
FROM "revetl_test".state__orders01
WHERE "revetl_test".state__orders01."_variant" IN ('')) AS t ON t."_key" = d."_key" LEFT OUTER JOIN (SELECT "revetl_test".open__orders01."_key" AS "_key", "revetl_test".open__orders01."_variant" AS "_variant", "revetl_test".open__orders01."_op" AS "_op", "revetl_test".open__orders01."_outcome" AS "_outcome", "revetl_test".open__orders01."_contract" AS "_contract", "revetl_test".open__orders01."_values" AS "_values", "revetl_test".open__orders01."_first_at" AS "_first_at", "revetl_test".open__orders01."_last_try" AS "_last_try"
FROM "revetl_test".open__orders01
WHERE false) AS o ON o."_key" = d."_key" LEFT OUTER JOIN (SELECT "revetl_test".state__people01."_key" AS "_key"
FROM "revetl_test".state__people01) AS live_person ON live_person."_key" = d._person LEFT OUTER JOIN (SELECT "revetl_test".open__people01."_key" AS "_key"
FROM "revetl_test".open__people01
WHERE "revetl_test".open__people01."_outcome" = 'unknown' AND "revetl_test".open__people01."_variant" = '') AS doubtful_person ON doubtful_person."_key" = d._person) AS r GROUP BY r._op, CASE WHEN (r._op IN ('release', 'clear', 'create', 'update', 'redrive', 'event', 'shadow', 'delete', 'suppress', 'held', 'collision')) THEN r._key END) AS g;

SELECT "revetl_test".plan__orders01__3."_op", sum("revetl_test".plan__orders01__3."_n") AS sum_1, count(*) AS count_1, max("revetl_test".plan__orders01__3."_n") AS max_1, min("revetl_test".plan__orders01__3."_seq") AS min_1, max("revetl_test".plan__orders01__3."_seq") AS max_2, min("revetl_test".plan__orders01__3."_occurred_at") AS min_2, sum(CASE WHEN ("revetl_test".plan__orders01__3."_occurred_at" < <time>) THEN 1 ELSE 0 END) AS sum_2, min(CASE WHEN ("revetl_test".plan__orders01__3."_occurred_at" >= <time>) THEN "revetl_test".plan__orders01__3."_occurred_at" END) AS min_3, max(abs("revetl_test".plan__orders01__3."value")) AS max_3
FROM "revetl_test".plan__orders01__3 GROUP BY "revetl_test".plan__orders01__3."_op";

DROP TABLE IF EXISTS "revetl_test".plan__orders01__3;

UPDATE "revetl_test".ctl__orders01 SET "owner"=NULL, "lease_until"=:lease_until WHERE "revetl_test".ctl__orders01."owner" = :owner_1 AND "revetl_test".ctl__orders01."fence" = :fence_1;

UPDATE "revetl_test".ctl__ws SET "owner"=NULL, "lease_until"=:lease_until, "last_success_at"=(CAST(floor(date_part(:date_part_1, getdate())) AS BIGINT) * :param_1) WHERE "revetl_test".ctl__ws."owner" = :owner_1 AND "revetl_test".ctl__ws."fence" = :fence_1;

DELETE FROM "revetl_test".rates WHERE "revetl_test".rates."owner" = :owner_1;

INSERT INTO "revetl_test".runs ("run_id", "command", "started_at", "finished_at", "exit_code", "version", "message") VALUES (:run_id, :command, :started_at, :finished_at, :exit_code, :version, :message);

INSERT INTO "revetl_test".sync_log ("run_id", "uid", "name", "fence", "status", "contract", "finished_at", "unchanged", "created", "updated", "redriven", "deleted", "skipped", "acknowledged", "refused", "held", "waiting", "unsent", "drifted", "contract_version", "copied", "warnings") VALUES (:run_id_m0, :uid_m0, :name_m0, :fence_m0, :status_m0, :contract_m0, :finished_at_m0, :unchanged_m0, :created_m0, :updated_m0, :redriven_m0, :deleted_m0, :skipped_m0, :acknowledged_m0, :refused_m0, :held_m0, :waiting_m0, :unsent_m0, :drifted_m0, :contract_version_m0, :copied_m0, :warnings_m0), (:run_id_m1, :uid_m1, :name_m1, :fence_m1, :status_m1, :contract_m1, :finished_at_m1, :unchanged_m1, :created_m1, :updated_m1, :redriven_m1, :deleted_m1, :skipped_m1, :acknowledged_m1, :refused_m1, :held_m1, :waiting_m1, :unsent_m1, :drifted_m1, :contract_version_m1, :copied_m1, :warnings_m1);
