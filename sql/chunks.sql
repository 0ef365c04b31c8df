-- Chunks: their borders for every kind of time column, their names, show_chunks().
SET timezone = 'UTC';
SET client_min_messages = warning;
-- Hot rows stay hot until this test moves them.
ALTER SYSTEM SET tsext.compact_background = off;
SELECT pg_reload_conf();
CREATE SCHEMA chunks_test;
SET search_path = chunks_test, public;
CREATE FUNCTION failure(command text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE command;
  RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
  RETURN sqlstate || ' ' || sqlerrm;
END $$;
CREATE FUNCTION chunks_of(relation regclass) RETURNS TABLE (chunk text, range_end text, tier text, level text, hot_rows bigint, cold_rows bigint, segments bigint)
LANGUAGE sql AS $$ SELECT chunk, range_end, tier, level, hot_rows, cold_rows, segments FROM tsext.chunk_list(relation) ORDER BY range_start_value $$;

-- Hot rows make chunks too; rows without a finite time belong to none.
CREATE TABLE cpu (time timestamptz, v int) USING tsext WITH (tsext.chunk_interval = '1 day');
INSERT INTO cpu SELECT timestamptz '2024-01-15 00:00+00' + g * interval '6 hours', g FROM generate_series(0, 9) g;
INSERT INTO cpu VALUES (NULL, 100), ('infinity', 101), ('-infinity', 102);
SELECT * FROM chunks_of('cpu');
SELECT compress_chunk('chunks_test.cpu@2024-01-16 00:00:00+00');
INSERT INTO cpu VALUES ('2024-01-16 23:59:59.999999+00', 10);
SELECT * FROM chunks_of('cpu');
-- A chunk's name is in the session's time zone, reads back in any, and does not depend on DateStyle.
SET datestyle = 'German, DMY';
SET timezone = 'America/New_York';
SELECT show_chunks('cpu');
SELECT compress_chunk('cpu@2024-01-14 19:00:00-05');
SET timezone = 'Asia/Kolkata';
SELECT compress_chunk(c) FROM show_chunks('cpu') c;
RESET datestyle;
SET timezone = 'UTC';
SELECT * FROM chunks_of('cpu');
SELECT count(*), sum(v) FROM cpu;
SELECT decompress_chunk('cpu@2024-01-16 00:00:00+00');
SELECT * FROM chunks_of('cpu');
SELECT compress_chunk('cpu@2024-01-16 00:00:00+00');

-- Whole chunks before older_than and from newer_than on.
SELECT show_chunks('cpu', older_than => timestamptz '2024-01-17 00:00+00');
SELECT show_chunks('cpu', older_than => timestamptz '2024-01-16 23:59+00');
SELECT show_chunks('cpu', newer_than => timestamptz '2024-01-16 00:00+00');
SELECT show_chunks('cpu', older_than => '2024-01-17', newer_than => date '2024-01-16');
SELECT count(*) FROM show_chunks('cpu', older_than => interval '1 day');
SELECT count(*) FROM show_chunks('cpu', '1 month');
SELECT count(*) FROM show_chunks('cpu', newer_than => '1 month'::text);
SELECT count(*) FROM show_chunks('cpu', older_than => timestamp '2024-01-17', newer_than => NULL);

-- A new interval holds for ranges without a chunk; cells are cut at chunks that exist.
SELECT set_chunk_time_interval('cpu', INTERVAL '7 days');
INSERT INTO cpu VALUES ('2024-01-18 12:00+00', 11), ('2024-01-25+00', 12), ('2024-01-15 12:00+00', 13), ('2024-01-14+00', 14);
SELECT * FROM chunks_of('cpu');
SELECT compress_chunk(c) FROM show_chunks('cpu') c;
SELECT set_chunk_time_interval('cpu', INTERVAL '1 hour');
INSERT INTO cpu VALUES ('2024-01-18 13:00+00', 15), ('2024-02-02 13:30+00', 16);
SELECT chunk, range_end, tier FROM chunks_of('cpu');
SELECT count(*) FROM tsext.verify('cpu');

-- Borders: the first moments and the last, before and after 2000, and far away.
CREATE TABLE far (time timestamptz, v int) USING tsext WITH (tsext.chunk_interval = '7 days');
INSERT INTO far VALUES ('4714-11-24 00:00:00+00 BC', 1), ('294276-12-31 23:59:59.999999+00', 2), ('2000-01-02 23:59:59.999999+00', 3),
  ('2000-01-03 00:00+00', 4), ('1999-12-26 23:59:59.999999+00', 5), ('0001-01-01 00:00+00', 6);
SELECT chunk, range_end, tier, hot_rows FROM chunks_of('far');
SELECT compress_chunk(c) FROM show_chunks('far') c;
SELECT chunk, range_end, tier, cold_rows FROM chunks_of('far');
SELECT time, v FROM far ORDER BY time;
CREATE TABLE days (day date, v int) USING tsext WITH (tsext.time_column = 'day', tsext.chunk_interval = '7 days');
INSERT INTO days VALUES ('4714-11-24 BC', 1), ('5874897-12-31', 2), ('2000-01-02', 3), ('2000-01-03', 4), ('infinity', 5), (NULL, 6);
SELECT chunk, range_end, tier, hot_rows FROM chunks_of('days');
SELECT compress_chunk(c) FROM show_chunks('days') c;
SELECT chunk, range_end, tier, cold_rows FROM chunks_of('days');
SELECT show_chunks('days', older_than => date '2000-01-10', newer_than => timestamptz '1999-12-27');
SELECT day, v FROM days ORDER BY v;
CREATE TABLE local_time (time timestamp, v int) USING tsext WITH (tsext.chunk_interval = '90 minutes');
INSERT INTO local_time VALUES ('2024-01-15 00:30', 1), ('2024-01-15 01:29:59.999999', 2), ('2024-01-15 01:30', 3);
SET timezone = 'America/New_York';
SELECT chunk, range_end, tier, hot_rows FROM chunks_of('local_time');
SELECT compress_chunk(c) FROM show_chunks('local_time') c;
SET timezone = 'UTC';
CREATE TABLE counted (t bigint, v int) USING tsext WITH (tsext.time_column = 't', tsext.chunk_interval = 1000);
INSERT INTO counted VALUES (-9223372036854775808, 1), (9223372036854775807, 2), (-1, 3), (0, 4), (999, 5), (1000, 6), (-1000, 7), (-1001, 8);
SELECT chunk, range_end, tier, hot_rows FROM chunks_of('counted');
SELECT compress_chunk(c) FROM show_chunks('counted') c;
SELECT chunk, range_end, tier, cold_rows FROM chunks_of('counted');
INSERT INTO counted VALUES (-9223372036854775807, 9), (9223372036854775806, 10);
SELECT compress_chunk(c) FROM show_chunks('counted', newer_than => 5000) c;
SELECT t, v FROM counted ORDER BY t;
SELECT show_chunks('counted', older_than => 1000::smallint, newer_than => '-1000');
CREATE TABLE widest (t bigint, v int) USING tsext WITH (tsext.time_column = 't', tsext.chunk_interval = 9223372036854775807);
INSERT INTO widest VALUES (-9223372036854775808, 1), (-1, 2), (0, 3), (9223372036854775807, 4);
SELECT compress_chunk(c) FROM show_chunks('widest') c;
SELECT chunk, range_end, tier, cold_rows FROM chunks_of('widest');
CREATE TABLE small (t smallint, v int) USING tsext WITH (tsext.time_column = 't');
INSERT INTO small VALUES (-32768, 1), (32767, 2), (-1, 3), (0, 4), (9999, 5), (10000, 6);
SELECT compress_chunk(c) FROM show_chunks('small') c;
SELECT chunk, range_end, tier, cold_rows FROM chunks_of('small');
-- Without a time column everything is one chunk.
CREATE TABLE timeless (v int) USING tsext;
INSERT INTO timeless SELECT g FROM generate_series(1, 10) g;
SELECT compress_chunk(c) FROM show_chunks('timeless') c;
INSERT INTO timeless VALUES (11);
SELECT * FROM chunks_of('timeless');
SELECT count(*) FROM show_chunks('timeless', older_than => NULL);
-- No rows, no chunks.
CREATE TABLE empty (time timestamptz) USING tsext;
SELECT count(*) FROM show_chunks('empty');
-- Names that need quotes.
CREATE SCHEMA "a@b";
CREATE TABLE "a@b"."It's ""@""" (time timestamptz) USING tsext;
INSERT INTO "a@b"."It's ""@""" VALUES ('2024-01-01+00');
SELECT compress_chunk(c) FROM show_chunks('"a@b"."It''s ""@"""') c;
SELECT tier FROM chunks_of('"a@b"."It''s ""@"""');

-- Everything that was written above reads back as it was written.
SELECT count(*) FROM unnest('{cpu,far,days,local_time,counted,widest,small,timeless,empty}'::regclass[]) r, tsext.verify(r);

-- The time column of a table with chunks stays what it is.
SELECT failure(c) FROM unnest(ARRAY[
  $$SELECT tsext.set_options('counted', time_column => 'v')$$,
  $$ALTER TABLE counted SET (tsext.time_column = '')$$,
  $$ALTER TABLE counted DROP COLUMN t$$,
  $$SECURITY LABEL FOR tsext ON TABLE counted IS 'time_column=v'$$,
  $$SECURITY LABEL FOR tsext ON TABLE counted IS NULL$$
]) c;
-- Also one that was found by default, whatever is added.
CREATE TABLE by_default (v int, ts bigint NOT NULL) USING tsext WITH (tsext.segment_by = '');
SECURITY LABEL FOR tsext ON TABLE by_default IS 'segment_by={}';
INSERT INTO by_default SELECT g, g FROM generate_series(1, 10) g;
SELECT compress_chunk(c) FROM show_chunks('by_default') c;
ALTER TABLE by_default ADD COLUMN seen timestamptz;
ALTER TABLE by_default RENAME COLUMN ts TO moment;
SELECT label FROM pg_seclabel WHERE objoid = 'by_default'::regclass;
SELECT * FROM chunks_of('by_default');
SELECT count(*) FROM tsext.verify('by_default');

-- Wrong names, wrong boundaries.
SELECT failure(format('SELECT compress_chunk(%L)', name)) FROM unnest(ARRAY['', 'x', '@', '@2024-01-01', 'cpu', 'cpu@', 'cpu@soon',
  'cpu@2024-01-15 12:00:00+00', 'nowhere@2024-01-15', 'pg_catalog.pg_class@2024-01-15', '"cpu@2024-01-15', 'a.b.c.d@2024-01-01', 'counted@1.5']) name;
SELECT failure(c) FROM unnest(ARRAY[
  $$SELECT show_chunks(NULL)$$,
  $$SELECT show_chunks('pg_class')$$,
  $$SELECT show_chunks(0)$$,
  $$SELECT show_chunks('cpu', older_than => 5)$$,
  $$SELECT show_chunks('cpu', older_than => '5')$$,
  $$SELECT show_chunks('cpu', older_than => 'soon')$$,
  $$SELECT show_chunks('cpu', older_than => true)$$,
  $$SELECT show_chunks('counted', older_than => interval '1 day')$$,
  $$SELECT show_chunks('counted', older_than => now())$$,
  $$SELECT show_chunks('counted', newer_than => '1 day')$$,
  $$SELECT show_chunks('timeless', newer_than => interval '1 day')$$
]) c;

-- Nothing that changes rows or options runs in a read-only transaction.
SET default_transaction_read_only = on;
SELECT failure(c) FROM unnest(ARRAY[
  $$SELECT drop_chunks('cpu', older_than => timestamptz '2100-01-01')$$,
  $$SELECT tsext.compact('cpu')$$,
  $$SELECT compress_chunk('cpu@2024-01-15 00:00:00+00')$$,
  $$SELECT decompress_chunk('cpu@2024-01-16 00:00:00+00')$$,
  $$SELECT tsext.set_options('cpu', chunk_interval => interval '2 days')$$,
  $$SELECT set_chunk_time_interval('cpu', interval '2 days')$$
]) c;
RESET default_transaction_read_only;

ALTER SYSTEM RESET tsext.compact_background;
SELECT pg_reload_conf();
DROP SCHEMA chunks_test, "a@b" CASCADE;
