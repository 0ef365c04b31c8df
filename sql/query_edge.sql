-- Corners of queries over batches, where a heap copy gives the answer.
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO, MDY';
SET tsext.enable_bulk = off;
CREATE EXTENSION IF NOT EXISTS tsext;

-- Zeros are one group, which is -0 where all of its column's are.
CREATE TABLE zero (time timestamptz NOT NULL, minus float8, minus4 real, mixed float8, o oid) USING tsext;
INSERT INTO zero
SELECT timestamptz '2024-01-01 00:00+00' + g * interval '1 s', '-0', '-0', CASE g % 2 WHEN 0 THEN 0 ELSE '-0' END,
       CASE g % 4 WHEN 0 THEN 4294967295 ELSE g END
FROM generate_series(1, 5000) g;
SELECT tsext.compact('zero') IS NOT NULL AS compacted;
INSERT INTO zero VALUES ('2024-01-02 00:00+00', '-0', '-0', '-0', 7);
EXPLAIN (COSTS OFF) SELECT minus, count(*) FROM zero GROUP BY minus;
SELECT minus, count(*) FROM zero GROUP BY minus;
SELECT minus4, count(*) FROM zero GROUP BY minus4;
SELECT -minus AS plus, count(*) FROM zero GROUP BY 1;
SELECT mixed = 0 AS is_zero, count(*) FROM zero GROUP BY mixed;
SELECT DISTINCT minus, minus4 FROM zero;
-- Another scan starts anew.
SELECT sign, (SELECT minus * sign FROM zero GROUP BY minus * sign) FROM (VALUES (1), (-1)) s (sign);

-- Object identifiers have no sign, integers that look like them do.
SELECT count(*) FILTER (WHERE o::int4 < 0) AS below, count(*) FILTER (WHERE o > 2147483647) AS above FROM zero;
SELECT count(*) FROM zero WHERE o::int4 < 0;
SELECT count(*) FROM zero WHERE o::int4 = -1;
SELECT count(*) FROM zero WHERE o = 4294967295;
DROP TABLE zero;
