-- column <@ range and multirange in vectors: the same answers as heap, whatever the ranges are, on hot and cold rows; times prune.
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
SET client_min_messages = warning;
SET max_parallel_workers_per_gather = 0;
CREATE SCHEMA query_ranges;
SET search_path = query_ranges, public;
CREATE TABLE heap_rows (time timestamptz NOT NULL, local timestamp, day date, small smallint, n int, big bigint, note text) USING heap;
INSERT INTO heap_rows SELECT timestamptz '2024-01-01 00:00+00' + g * interval '1 minute', timestamp '2024-01-01 00:00' + g % 977 * interval '1 hour',
    date '2024-01-01' + g % 313, g % 100, g % 5000 - 2500, (g * 7919::bigint) % 1000003 - 500000, 'note' FROM generate_series(0, 9999) g;
INSERT INTO heap_rows VALUES ('infinity', 'infinity', 'infinity', 1, 2147483647, 9223372036854775807, 'greatest'),
  ('-infinity', '-infinity', '-infinity', 1, -2147483648, -9223372036854775808, 'least'), ('2024-01-03 12:00:00.5+00', NULL, NULL, NULL, NULL, NULL, 'null');
CREATE TABLE rows (LIKE heap_rows) USING tsext WITH (tsext.chunk_interval = '1 day');
INSERT INTO rows SELECT * FROM heap_rows WHERE n % 50 <> 3 OR n IS NULL;
SELECT rows_moved > 0 OR segments_merged >= 0 AS compacted FROM tsext.compact('rows');
INSERT INTO rows SELECT * FROM heap_rows WHERE n % 50 = 3;
-- Many ranges: every seventh hour.
CREATE TABLE many AS SELECT range_agg(tstzrange(timestamptz '2024-01-01 00:00+00' + g * interval '7 hours', timestamptz '2024-01-01 01:00+00' + g * interval '7 hours')) AS hours,
    range_agg(int4range(g * 70 - 2500, g * 70 - 2500 + 9)) AS numbers FROM generate_series(0, 60) g;
CREATE TABLE conditions (id int GENERATED ALWAYS AS IDENTITY, condition text);
INSERT INTO conditions (condition) VALUES
  ('time <@ tstzrange(''2024-01-02 03:00+00'', ''2024-01-02 05:00+00'')'),
  ('time <@ tstzrange(''2024-01-02 03:00+00'', ''2024-01-02 05:00+00'', ''[]'')'),
  ('time <@ tstzrange(''2024-01-02 03:00+00'', ''2024-01-02 05:00+00'', ''()'')'),
  ('time <@ tstzrange(NULL, ''2024-01-02 05:00+00'')'),
  ('time <@ tstzrange(''2024-01-06 05:00+00'', NULL)'),
  ('time <@ tstzrange(''2024-01-06 05:00+00'', ''infinity'')'),
  ('time <@ tstzrange(''2024-01-06 05:00+00'', ''infinity'', ''[]'')'),
  ('time <@ tstzrange(''-infinity'', ''2024-01-02 05:00+00'', ''()'')'),
  ('time <@ tstzrange(NULL, NULL)'),
  ('time <@ ''empty''::tstzrange'),
  ('time <@ NULL::tstzrange'),
  ('time <@ ''{}''::tstzmultirange'),
  ('time <@ NULL::tstzmultirange'),
  ('time <@ ''{[2024-01-01,2024-01-02),[2024-01-03 12:00,2024-01-03 12:01),(2024-01-06,]}''::tstzmultirange'),
  ('tstzrange(''2024-01-02 03:00+00'', ''2024-01-02 05:00+00'') @> time'),
  ('time <@ (SELECT hours FROM many)'),
  ('n <@ (SELECT numbers FROM many)'),
  ('n <@ ''[10,20]''::int4range'),
  ('n <@ int4range(2147483640, NULL)'),
  ('n <@ int4range(NULL, -2147483640)'),
  ('small::int <@ ''[10,20]''::int4range'),
  ('big <@ ''{[-5000,0),(70,100000]}''::int8multirange'),
  ('big <@ int8range(9223372036854775806, NULL)'),
  ('day <@ ''[2024-02-01,2024-03-01)''::daterange'),
  ('day <@ daterange(''2024-02-01'', ''infinity'', ''[]'')'),
  ('day <@ daterange(''2024-02-01'', ''infinity'')'),
  ('day <@ ''{(,2024-01-05],[2024-05-01,2024-05-03)}''::datemultirange'),
  ('local <@ ''[2024-01-05,2024-01-06)''::tsrange'),
  ('local <@ ''{[2024-01-05,2024-01-06),[2024-01-10 12:00,]}''::tsmultirange'),
  ('day <@ ''[2024-02-01,2024-03-01)''::daterange AND n <@ ''[10,2000]''::int4range'),
  ('day <@ ''[2024-02-01,2024-03-01)''::daterange OR n <@ ''[10,20]''::int4range');
CREATE FUNCTION differences(condition text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  found bigint;
  differing bigint;
BEGIN
  EXECUTE format('SELECT count(*), count(*) FILTER (WHERE a IS DISTINCT FROM b) FROM
    (SELECT row_number() OVER (ORDER BY r) AS i, r::text AS a FROM rows r WHERE %1$s) t FULL JOIN
    (SELECT row_number() OVER (ORDER BY h) AS i, h::text AS b FROM heap_rows h WHERE %1$s) h USING (i)', condition) INTO found, differing;
  RETURN found || ', ' || differing || ' differ';
END $$;
SELECT condition, differences(condition) AS is, differences('(' || condition || ') IS NOT TRUE') AS is_not_true,
  differences('NOT (' || condition || ')') AS is_false FROM conditions ORDER BY id;
EXPLAIN (COSTS off) SELECT * FROM rows WHERE time <@ '{[2024-01-01,2024-01-02),[2024-01-03,2024-01-04)}'::tstzmultirange AND (day <@ '[2024-01-05,2024-01-06)'::daterange) IS NOT TRUE;
EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off) SELECT count(*) FROM rows WHERE time <@ tstzrange('2024-01-03 01:00+00', '2024-01-03 02:00+00');
DROP SCHEMA query_ranges CASCADE;
