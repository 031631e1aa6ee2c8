-- 1
SELECT table_name, column_name, data_type, numeric_scale FROM information_schema.columns WHERE table_schema = %(schema)s ORDER BY table_name, ordinal_position;

-- 2
SELECT *
FROM (
SELECT * FROM people
) AS m
 LIMIT %(param_1)s;

-- 3
SELECT "REVETL_TEST"."CTL__PEOPLE01"."NAME", "REVETL_TEST"."CTL__PEOPLE01"."SCHEMA_VERSION", "REVETL_TEST"."CTL__PEOPLE01"."FENCE", "REVETL_TEST"."CTL__PEOPLE01"."OWNER", "REVETL_TEST"."CTL__PEOPLE01"."LEASE_UNTIL", "REVETL_TEST"."CTL__PEOPLE01"."DRAIN_UNTIL", "REVETL_TEST"."CTL__PEOPLE01"."PLAN_FENCE", "REVETL_TEST"."CTL__PEOPLE01"."HWM", "REVETL_TEST"."CTL__PEOPLE01"."INTENT_AT", "REVETL_TEST"."CTL__PEOPLE01"."FOLDED_FENCE", "REVETL_TEST"."CTL__PEOPLE01"."PLAN_TS", "REVETL_TEST"."CTL__PEOPLE01"."PLAN_CONTRACT", "REVETL_TEST"."CTL__PEOPLE01"."INITIALISED", "REVETL_TEST"."CTL__PEOPLE01"."STATE_ROWS", "REVETL_TEST"."CTL__PEOPLE01"."KEY_KIND", "REVETL_TEST"."CTL__PEOPLE01"."CONTRACTS", "REVETL_TEST"."CTL__PEOPLE01"."WORKSPACE_ID", "REVETL_TEST"."CTL__PEOPLE01"."ID_SCHEME", "REVETL_TEST"."CTL__PEOPLE01"."LAST_SUCCESS_AT", "REVETL_TEST"."CTL__PEOPLE01"."PLAN_ROWS", "REVETL_TEST"."CTL__PEOPLE01"."ACK_ROWS", "REVETL_TEST"."CTL__PEOPLE01"."STATE_SEAL", "REVETL_TEST"."CTL__PEOPLE01"."OPEN_SEAL", "REVETL_TEST"."CTL__PEOPLE01"."VERIFIED_AT", "REVETL_TEST"."CTL__PEOPLE01"."KEY_PRINT", "REVETL_TEST"."CTL__PEOPLE01"."KEY_SINCE", "REVETL_TEST"."CTL__PEOPLE01"."CONTRACT", "REVETL_TEST"."CTL__PEOPLE01"."COPIES", "REVETL_TEST"."CTL__PEOPLE01"."COMPARED_AT", (SELECT count(*) AS "COUNT_1"
FROM "REVETL_TEST"."STATE__PEOPLE01") AS "ANON_1", (SELECT count(*) AS "COUNT_2"
FROM "REVETL_TEST"."OPEN__PEOPLE01") AS "ANON_2", (SELECT count(*) AS "COUNT_3"
FROM "REVETL_TEST"."ACK__PEOPLE01") AS "ANON_3", (SELECT coalesce(max("REVETL_TEST"."SYNC_LOG"."FENCE"), %(coalesce_2)s) AS "COALESCE_1"
FROM "REVETL_TEST"."SYNC_LOG"
WHERE "REVETL_TEST"."SYNC_LOG"."UID" = %(uid_1)s) AS "ANON_4"
FROM "REVETL_TEST"."CTL__PEOPLE01";

-- 4
SELECT date_part(EPOCH_MILLISECOND, CURRENT_TIMESTAMP) AS "DATE_PART_1";

-- 5
WITH "PLAN" AS
(SELECT CAST(CASE WHEN ("G"."_OP" IN (%(op_1_1)s, %(op_1_2)s, %(op_1_3)s, %(op_1_4)s, %(op_1_5)s, %(op_1_6)s, %(op_1_7)s, %(op_1_8)s, %(op_1_9)s, %(op_1_10)s)) THEN sum(CASE WHEN ("G"."_OP" IN (%(op_2_1)s, %(op_2_2)s, %(op_2_3)s, %(op_2_4)s, %(op_2_5)s, %(op_2_6)s, %(op_2_7)s)) THEN %(param_15)s ELSE %(param_16)s END) OVER (ORDER BY 1 ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) END AS BIGINT) AS "_SEQ", "G"."_OP" AS "_OP", "G"."_KEY" AS "_KEY", CAST("G"."_N" AS BIGINT) AS "_N", "G"."_M0" AS "_M0", "G"."_FRESH" AS "_FRESH", "G"."EMAIL" AS "EMAIL", "G"."PLAN" AS "PLAN", "G"."SPENT" AS "SPENT"
FROM (SELECT "R"."_OP" AS "_OP", CASE WHEN ("R"."_OP" IN (%(op_3_1)s, %(op_3_2)s, %(op_3_3)s, %(op_3_4)s, %(op_3_5)s, %(op_3_6)s, %(op_3_7)s, %(op_3_8)s, %(op_3_9)s, %(op_3_10)s, %(op_3_11)s)) THEN "R"."_KEY" END AS "_KEY", count(*) AS "_N", any_value("R"."_M0") AS "_M0", any_value("R"."_FRESH") AS "_FRESH", any_value("R"."EMAIL") AS "EMAIL", any_value("R"."PLAN") AS "PLAN", any_value("R"."SPENT") AS "SPENT"
FROM (SELECT CASE WHEN ("L"."_M" IS NULL) THEN %(param_17)s WHEN ("L"."_MATCHED" AND "L"."_OUTCOME" IS NULL AND "L"."_M0" = %(m0_1)s) THEN %(param_18)s WHEN (coalesce(trim(replace("L"."_KEY", %(replace_1)s, %(replace_2)s)), %(coalesce_3)s) = %(coalesce_4)s) THEN %(param_19)s WHEN ("L"."_OUTCOME" = %(outcome_1)s AND "L"."_O_CONTRACT" = %(o_contract_1)s AND "L"."_LAST_TRY" > %(last_try_1)s AND "L"."_VALUES" = CASE WHEN ("L"."_OUTCOME" = %(outcome_2)s) THEN md5(concat(coalesce(concat(CAST(length(CAST("L"."EMAIL" AS TEXT)) AS TEXT), %(concat_1)s, CAST("L"."EMAIL" AS TEXT)), %(coalesce_5)s), coalesce(concat(CAST(length(CAST("L"."PLAN" AS TEXT)) AS TEXT), %(concat_2)s, CAST("L"."PLAN" AS TEXT)), %(coalesce_6)s), coalesce(concat(CAST(length(CAST("L"."SPENT" AS TEXT)) AS TEXT), %(concat_3)s, CAST("L"."SPENT" AS TEXT)), %(coalesce_7)s))) END AND "L"."_MATCHED") THEN %(param_20)s WHEN ("L"."_OUTCOME" = %(outcome_1)s AND "L"."_O_CONTRACT" = %(o_contract_1)s AND "L"."_LAST_TRY" > %(last_try_1)s AND "L"."_VALUES" = CASE WHEN ("L"."_OUTCOME" = %(outcome_2)s) THEN md5(concat(coalesce(concat(CAST(length(CAST("L"."EMAIL" AS TEXT)) AS TEXT), %(concat_1)s, CAST("L"."EMAIL" AS TEXT)), %(coalesce_5)s), coalesce(concat(CAST(length(CAST("L"."PLAN" AS TEXT)) AS TEXT), %(concat_2)s, CAST("L"."PLAN" AS TEXT)), %(coalesce_6)s), coalesce(concat(CAST(length(CAST("L"."SPENT" AS TEXT)) AS TEXT), %(concat_3)s, CAST("L"."SPENT" AS TEXT)), %(coalesce_7)s))) END) THEN %(param_21)s WHEN ("L"."_OUTCOME" = %(outcome_3)s OR "L"."_OUTCOME" = %(outcome_4)s AND ("L"."_MATCHED" OR "L"."_O_OP" IN (%(o_op_1_1)s, %(o_op_1_2)s, %(o_op_1_3)s, %(o_op_1_4)s))) THEN %(param_22)s WHEN NOT "L"."_MATCHED" THEN %(param_23)s WHEN ("L"."_M0" != %(m0_2)s) THEN %(param_24)s ELSE %(param_25)s END AS "_OP", "L"."_KEY" AS "_KEY", "L"."_M0" AS "_M0", "L"."_FRESH" AS "_FRESH", "L"."EMAIL" AS "EMAIL", "L"."PLAN" AS "PLAN", "L"."SPENT" AS "SPENT"
FROM (SELECT coalesce("M"."_KEY", "T"."_KEY", "O"."_KEY") AS "_KEY", "M"."_M" AS "_M", "T"."_KEY" IS NOT NULL AS "_MATCHED", "O"."_OP" AS "_O_OP", "O"."_OUTCOME" AS "_OUTCOME", "O"."_CONTRACT" AS "_O_CONTRACT", "O"."_VALUES" AS "_VALUES", "O"."_LAST_TRY" AS "_LAST_TRY", false AS "_FRESH", CAST(CASE WHEN ("T"."_KEY" IS NOT NULL) THEN CASE WHEN ("M"."EMAIL" IS NOT NULL AND "M"."EMAIL" IS DISTINCT FROM "T"."EMAIL") THEN %(param_26)s ELSE %(param_27)s END + CASE WHEN ("M"."PLAN" IS NOT NULL AND "M"."PLAN" IS DISTINCT FROM "T"."PLAN") THEN %(param_28)s ELSE %(param_29)s END + CASE WHEN ("M"."SPENT" IS NOT NULL AND "M"."SPENT" IS DISTINCT FROM "T"."SPENT") THEN %(param_30)s ELSE %(param_31)s END ELSE %(param_32)s END AS BIGINT) AS "_M0", coalesce("M"."EMAIL", "T"."EMAIL") AS "EMAIL", coalesce("M"."PLAN", "T"."PLAN") AS "PLAN", coalesce("M"."SPENT", "T"."SPENT") AS "SPENT"
FROM (SELECT %(param_33)s AS "_M", "ID" AS "_KEY", CAST("EMAIL" AS TEXT) AS "EMAIL", CAST("PLAN" AS TEXT) AS "PLAN", CAST("SPENT" AS NUMERIC(38, 2)) AS "SPENT"
FROM (
SELECT * FROM people
) AS m) AS "M" FULL OUTER JOIN "REVETL_TEST"."STATE__PEOPLE01" AS "T" ON "T"."_KEY" = "M"."_KEY" LEFT OUTER JOIN (SELECT "REVETL_TEST"."OPEN__PEOPLE01"."_KEY" AS "_KEY", "REVETL_TEST"."OPEN__PEOPLE01"."_VARIANT" AS "_VARIANT", "REVETL_TEST"."OPEN__PEOPLE01"."_OP" AS "_OP", "REVETL_TEST"."OPEN__PEOPLE01"."_OUTCOME" AS "_OUTCOME", "REVETL_TEST"."OPEN__PEOPLE01"."_CONTRACT" AS "_CONTRACT", "REVETL_TEST"."OPEN__PEOPLE01"."_VALUES" AS "_VALUES", "REVETL_TEST"."OPEN__PEOPLE01"."_FIRST_AT" AS "_FIRST_AT", "REVETL_TEST"."OPEN__PEOPLE01"."_LAST_TRY" AS "_LAST_TRY"
FROM "REVETL_TEST"."OPEN__PEOPLE01"
WHERE false) AS "O" ON "O"."_KEY" = coalesce("M"."_KEY", "T"."_KEY")) AS "L") AS "R" GROUP BY "R"."_OP", CASE WHEN ("R"."_OP" IN (%(op_3_1)s, %(op_3_2)s, %(op_3_3)s, %(op_3_4)s, %(op_3_5)s, %(op_3_6)s, %(op_3_7)s, %(op_3_8)s, %(op_3_9)s, %(op_3_10)s, %(op_3_11)s)) THEN "R"."_KEY" END) AS "G")
 SELECT "PLAN"."_OP", sum("PLAN"."_N") AS "SUM_1", count(*) AS "COUNT_1", max("PLAN"."_N") AS "MAX_1", min("PLAN"."_SEQ") AS "MIN_1", max("PLAN"."_SEQ") AS "MAX_2", sum(CASE WHEN "PLAN"."_FRESH" THEN %(param_1)s ELSE %(param_2)s END) AS "SUM_2", sum(CASE WHEN ((BITAND("PLAN"."_M0", %(param_3)s)) != %(param_4)s) THEN %(param_5)s ELSE %(param_6)s END) AS "SUM_3", sum(CASE WHEN ((BITAND("PLAN"."_M0", %(param_7)s)) != %(param_8)s) THEN %(param_9)s ELSE %(param_10)s END) AS "SUM_4", sum(CASE WHEN ((BITAND("PLAN"."_M0", %(param_11)s)) != %(param_12)s) THEN %(param_13)s ELSE %(param_14)s END) AS "SUM_5", max(abs("PLAN"."SPENT")) AS "MAX_3", CAST(coalesce(sum(CASE WHEN ("PLAN"."_SEQ" IS NOT NULL) THEN CAST(hash("PLAN"."_OP", "PLAN"."_KEY", "PLAN"."_M0", "PLAN"."_FRESH", "PLAN"."EMAIL", "PLAN"."PLAN", "PLAN"."SPENT") AS BIGINT) END), %(coalesce_2)s) AS TEXT) AS "COALESCE_1"
FROM "PLAN" GROUP BY "PLAN"."_OP";

-- 6
SELECT *
FROM (
SELECT * FROM orders
) AS m
 LIMIT %(param_1)s;

-- 7
SELECT "REVETL_TEST"."CTL__ORDERS01"."NAME", "REVETL_TEST"."CTL__ORDERS01"."SCHEMA_VERSION", "REVETL_TEST"."CTL__ORDERS01"."FENCE", "REVETL_TEST"."CTL__ORDERS01"."OWNER", "REVETL_TEST"."CTL__ORDERS01"."LEASE_UNTIL", "REVETL_TEST"."CTL__ORDERS01"."DRAIN_UNTIL", "REVETL_TEST"."CTL__ORDERS01"."PLAN_FENCE", "REVETL_TEST"."CTL__ORDERS01"."HWM", "REVETL_TEST"."CTL__ORDERS01"."INTENT_AT", "REVETL_TEST"."CTL__ORDERS01"."FOLDED_FENCE", "REVETL_TEST"."CTL__ORDERS01"."PLAN_TS", "REVETL_TEST"."CTL__ORDERS01"."PLAN_CONTRACT", "REVETL_TEST"."CTL__ORDERS01"."INITIALISED", "REVETL_TEST"."CTL__ORDERS01"."STATE_ROWS", "REVETL_TEST"."CTL__ORDERS01"."KEY_KIND", "REVETL_TEST"."CTL__ORDERS01"."CONTRACTS", "REVETL_TEST"."CTL__ORDERS01"."WORKSPACE_ID", "REVETL_TEST"."CTL__ORDERS01"."ID_SCHEME", "REVETL_TEST"."CTL__ORDERS01"."LAST_SUCCESS_AT", "REVETL_TEST"."CTL__ORDERS01"."PLAN_ROWS", "REVETL_TEST"."CTL__ORDERS01"."ACK_ROWS", "REVETL_TEST"."CTL__ORDERS01"."STATE_SEAL", "REVETL_TEST"."CTL__ORDERS01"."OPEN_SEAL", "REVETL_TEST"."CTL__ORDERS01"."VERIFIED_AT", "REVETL_TEST"."CTL__ORDERS01"."KEY_PRINT", "REVETL_TEST"."CTL__ORDERS01"."KEY_SINCE", "REVETL_TEST"."CTL__ORDERS01"."CONTRACT", "REVETL_TEST"."CTL__ORDERS01"."COPIES", "REVETL_TEST"."CTL__ORDERS01"."COMPARED_AT", (SELECT count(*) AS "COUNT_1"
FROM "REVETL_TEST"."STATE__ORDERS01") AS "ANON_1", (SELECT count(*) AS "COUNT_2"
FROM "REVETL_TEST"."OPEN__ORDERS01") AS "ANON_2", (SELECT count(*) AS "COUNT_3"
FROM "REVETL_TEST"."ACK__ORDERS01") AS "ANON_3", (SELECT coalesce(max("REVETL_TEST"."SYNC_LOG"."FENCE"), %(coalesce_2)s) AS "COALESCE_1"
FROM "REVETL_TEST"."SYNC_LOG"
WHERE "REVETL_TEST"."SYNC_LOG"."UID" = %(uid_1)s) AS "ANON_4"
FROM "REVETL_TEST"."CTL__ORDERS01";

-- 8
SELECT date_part(EPOCH_MILLISECOND, CURRENT_TIMESTAMP) AS "DATE_PART_1";

-- 9
SELECT *
FROM (
SELECT * FROM people
) AS m
 LIMIT %(param_1)s;

-- 10
WITH "PLAN" AS
(SELECT CAST(CASE WHEN ("G"."_OP" IN (%(op_1_1)s, %(op_1_2)s, %(op_1_3)s, %(op_1_4)s, %(op_1_5)s, %(op_1_6)s, %(op_1_7)s, %(op_1_8)s, %(op_1_9)s, %(op_1_10)s)) THEN row_number() OVER (ORDER BY CASE WHEN ("G"."_OP" IN (%(op_2_1)s, %(op_2_2)s, %(op_2_3)s, %(op_2_4)s, %(op_2_5)s, %(op_2_6)s, %(op_2_7)s)) THEN %(param_3)s WHEN ("G"."_OP" IN (%(op_3_1)s, %(op_3_2)s)) THEN %(param_4)s WHEN ("G"."_OP" = %(op_4)s) THEN %(param_5)s ELSE %(param_6)s END, "G"."_OCCURRED_AT", "G"."_KEY") END AS BIGINT) AS "_SEQ", "G"."_OP" AS "_OP", "G"."_KEY" AS "_KEY", CAST("G"."_N" AS BIGINT) AS "_N", "G"."_PERSON" AS "_PERSON", "G"."_ANONYMOUS" AS "_ANONYMOUS", "G"."_OCCURRED_AT" AS "_OCCURRED_AT", "G"."_VARIANT" AS "_VARIANT", "G"."_DIGEST" AS "_DIGEST", "G"."ORDER_ID" AS "ORDER_ID", "G"."VALUE" AS "VALUE"
FROM (SELECT "R"."_OP" AS "_OP", CASE WHEN ("R"."_OP" IN (%(op_5_1)s, %(op_5_2)s, %(op_5_3)s, %(op_5_4)s, %(op_5_5)s, %(op_5_6)s, %(op_5_7)s, %(op_5_8)s, %(op_5_9)s, %(op_5_10)s, %(op_5_11)s)) THEN "R"."_KEY" END AS "_KEY", count(*) AS "_N", any_value("R"."_PERSON") AS "_PERSON", any_value("R"."_ANONYMOUS") AS "_ANONYMOUS", any_value("R"."_OCCURRED_AT") AS "_OCCURRED_AT", any_value("R"."_VARIANT") AS "_VARIANT", any_value("R"."_DIGEST") AS "_DIGEST", any_value("R"."ORDER_ID") AS "ORDER_ID", any_value("R"."VALUE") AS "VALUE"
FROM (SELECT CASE WHEN ("D"."_M" IS NULL) THEN %(param_7)s WHEN ("T"."_KEY" IS NOT NULL AND "T"."_CONTRACT" = %(contract_1)s AND "T"."_DIGEST" != "D"."_DIGEST") THEN %(param_8)s WHEN ("T"."_KEY" IS NOT NULL) THEN %(param_9)s WHEN (coalesce(trim(replace("D"."_KEY", %(replace_1)s, %(replace_2)s)), %(coalesce_3)s) = %(coalesce_4)s) THEN %(param_10)s WHEN ("O"."_OUTCOME" = %(outcome_1)s AND "O"."_FIRST_AT" < %(first_at_1)s) THEN %(param_11)s WHEN ("O"."_OUTCOME" = %(outcome_2)s) THEN %(param_12)s WHEN ("D"."_PERSON" IS NULL) THEN %(param_13)s WHEN (NOT ("LIVE_PERSON"."_KEY" IS NOT NULL AND "DOUBTFUL_PERSON"."_KEY" IS NULL)) THEN %(param_14)s WHEN ("O"."_OUTCOME" = %(outcome_3)s AND "O"."_CONTRACT" = %(contract_2)s AND "O"."_VALUES" = "D"."_DIGEST" AND "O"."_LAST_TRY" > %(last_try_1)s) THEN %(param_15)s WHEN (("O"."_OUTCOME" IN (%(outcome_4_1)s, %(outcome_4_2)s) OR "O"."_OP" = %(op_6)s) AND "O"."_FIRST_AT" < %(first_at_1)s) THEN %(param_16)s WHEN ("D"."_OCCURRED_AT" < %(occurred_at_3)s) THEN %(param_17)s WHEN ("D"."_OCCURRED_AT" > %(occurred_at_4)s) THEN %(param_18)s WHEN false THEN %(param_19)s ELSE %(param_20)s END AS "_OP", coalesce("D"."_KEY", "T"."_KEY") AS "_KEY", "D"."_PERSON" AS "_PERSON", "D"."_ANONYMOUS" AS "_ANONYMOUS", "D"."_OCCURRED_AT" AS "_OCCURRED_AT", %(param_21)s AS "_VARIANT", "D"."_DIGEST" AS "_DIGEST", "D"."ORDER_ID" AS "ORDER_ID", "D"."VALUE" AS "VALUE"
FROM (SELECT "M"."_M" AS "_M", "M"."_KEY" AS "_KEY", "M"."_PERSON" AS "_PERSON", "M"."_ANONYMOUS" AS "_ANONYMOUS", "M"."_OCCURRED_AT" AS "_OCCURRED_AT", "M"."ORDER_ID" AS "ORDER_ID", "M"."VALUE" AS "VALUE", md5(concat(coalesce(concat(CAST(length(CAST("M"."_PERSON" AS TEXT)) AS TEXT), %(concat_1)s, CAST("M"."_PERSON" AS TEXT)), %(coalesce_5)s), coalesce(concat(CAST(length(CAST("M"."_OCCURRED_AT" AS TEXT)) AS TEXT), %(concat_2)s, CAST("M"."_OCCURRED_AT" AS TEXT)), %(coalesce_6)s), coalesce(concat(CAST(length(CAST("M"."ORDER_ID" AS TEXT)) AS TEXT), %(concat_3)s, CAST("M"."ORDER_ID" AS TEXT)), %(coalesce_7)s), coalesce(concat(CAST(length(CAST("M"."VALUE" AS TEXT)) AS TEXT), %(concat_4)s, CAST("M"."VALUE" AS TEXT)), %(coalesce_8)s))) AS "_DIGEST", %(param_22)s AS "_VARIANT"
FROM (SELECT %(param_23)s AS "_M", "ORDER_ID" AS "_KEY", CASE WHEN (coalesce(trim(replace("PERSON", %(replace_3)s, %(replace_4)s)), %(coalesce_9)s) = %(coalesce_10)s) THEN CAST(NULL AS TEXT) ELSE "PERSON" END AS "_PERSON", CAST(NULL AS TEXT) AS "_ANONYMOUS", CAST(CAST((date_part(EPOCH_MICROSECOND, "BOUGHT_AT") - mod(mod(date_part(EPOCH_MICROSECOND, "BOUGHT_AT"), %(mod_1)s) + %(mod_2)s, %(mod_3)s)) / %(param_24)s AS BIGINT) AS BIGINT) AS "_OCCURRED_AT", CAST("ORDER_ID" AS TEXT) AS "ORDER_ID", CAST("VALUE" AS NUMERIC(38, 2)) AS "VALUE"
FROM (
SELECT * FROM orders
) AS m) AS "M") AS "D" FULL OUTER JOIN (SELECT "REVETL_TEST"."STATE__ORDERS01"."_KEY" AS "_KEY", "REVETL_TEST"."STATE__ORDERS01"."_VARIANT" AS "_VARIANT", "REVETL_TEST"."STATE__ORDERS01"."_CONTRACT" AS "_CONTRACT", "REVETL_TEST"."STATE__ORDERS01"."_DIGEST" AS "_DIGEST", "REVETL_TEST"."STATE__ORDERS01"."_OCCURRED_AT" AS "_OCCURRED_AT"
FROM "REVETL_TEST"."STATE__ORDERS01"
WHERE "REVETL_TEST"."STATE__ORDERS01"."_VARIANT" IN (%(variant_1_1)s)) AS "T" ON "T"."_KEY" = "D"."_KEY" LEFT OUTER JOIN (SELECT "REVETL_TEST"."OPEN__ORDERS01"."_KEY" AS "_KEY", "REVETL_TEST"."OPEN__ORDERS01"."_VARIANT" AS "_VARIANT", "REVETL_TEST"."OPEN__ORDERS01"."_OP" AS "_OP", "REVETL_TEST"."OPEN__ORDERS01"."_OUTCOME" AS "_OUTCOME", "REVETL_TEST"."OPEN__ORDERS01"."_CONTRACT" AS "_CONTRACT", "REVETL_TEST"."OPEN__ORDERS01"."_VALUES" AS "_VALUES", "REVETL_TEST"."OPEN__ORDERS01"."_FIRST_AT" AS "_FIRST_AT", "REVETL_TEST"."OPEN__ORDERS01"."_LAST_TRY" AS "_LAST_TRY"
FROM "REVETL_TEST"."OPEN__ORDERS01"
WHERE false) AS "O" ON "O"."_KEY" = "D"."_KEY" LEFT OUTER JOIN (SELECT "REVETL_TEST"."STATE__PEOPLE01"."_KEY" AS "_KEY"
FROM "REVETL_TEST"."STATE__PEOPLE01" UNION SELECT "ID" AS "_KEY"
FROM (
SELECT * FROM people
) AS k) AS "LIVE_PERSON" ON "LIVE_PERSON"."_KEY" = "D"."_PERSON" LEFT OUTER JOIN (SELECT "REVETL_TEST"."OPEN__PEOPLE01"."_KEY" AS "_KEY"
FROM "REVETL_TEST"."OPEN__PEOPLE01"
WHERE "REVETL_TEST"."OPEN__PEOPLE01"."_OUTCOME" = %(outcome_5)s AND "REVETL_TEST"."OPEN__PEOPLE01"."_VARIANT" = %(variant_2)s) AS "DOUBTFUL_PERSON" ON "DOUBTFUL_PERSON"."_KEY" = "D"."_PERSON") AS "R" GROUP BY "R"."_OP", CASE WHEN ("R"."_OP" IN (%(op_5_1)s, %(op_5_2)s, %(op_5_3)s, %(op_5_4)s, %(op_5_5)s, %(op_5_6)s, %(op_5_7)s, %(op_5_8)s, %(op_5_9)s, %(op_5_10)s, %(op_5_11)s)) THEN "R"."_KEY" END) AS "G")
 SELECT "PLAN"."_OP", sum("PLAN"."_N") AS "SUM_1", count(*) AS "COUNT_1", max("PLAN"."_N") AS "MAX_1", min("PLAN"."_SEQ") AS "MIN_1", max("PLAN"."_SEQ") AS "MAX_2", min("PLAN"."_OCCURRED_AT") AS "MIN_2", sum(CASE WHEN ("PLAN"."_OCCURRED_AT" < %(occurred_at_1)s) THEN %(param_1)s ELSE %(param_2)s END) AS "SUM_2", min(CASE WHEN ("PLAN"."_OCCURRED_AT" >= %(occurred_at_2)s) THEN "PLAN"."_OCCURRED_AT" END) AS "MIN_3", max(abs("PLAN"."VALUE")) AS "MAX_3", CAST(coalesce(sum(CASE WHEN ("PLAN"."_SEQ" IS NOT NULL) THEN CAST(hash("PLAN"."_OP", "PLAN"."_KEY", "PLAN"."_PERSON", "PLAN"."_ANONYMOUS", "PLAN"."_OCCURRED_AT", "PLAN"."_VARIANT", "PLAN"."_DIGEST", "PLAN"."ORDER_ID", "PLAN"."VALUE") AS BIGINT) END), %(coalesce_2)s) AS TEXT) AS "COALESCE_1"
FROM "PLAN" GROUP BY "PLAN"."_OP";
