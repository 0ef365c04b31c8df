-- tsext.tables, chunks, segments, columns; sizes; who sees what; tsext.verify() on damaged segments.
SET timezone = 'UTC';
SET client_min_messages = warning;
ALTER SYSTEM SET tsext.compact_background = off;
SELECT pg_reload_conf();
CREATE SCHEMA views_test;
SET search_path = views_test, public;
CREATE FUNCTION failure(command text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE command;
  RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
  RETURN sqlstate || ' ' || sqlerrm;
END $$;

CREATE TABLE cpu (time timestamptz NOT NULL, host text, usage float8, n int, q numeric(8, 2), note text) USING tsext
  WITH (tsext.segment_by = 'host', tsext.chunk_interval = '1 day');
INSERT INTO cpu SELECT timestamptz '2024-01-15 00:00+00' + g * interval '1 minute', 'host ' || g % 2, g % 100 / 4.0, g,
  g / 7.0, CASE WHEN g % 10 = 0 THEN 'note ' || g END FROM generate_series(0, 2879) g;
SELECT compress_chunk(c) FROM show_chunks('cpu') c;
INSERT INTO cpu SELECT timestamptz '2024-01-17 00:00+00' + g * interval '1 minute', 'host 0', g, g, g FROM generate_series(0, 99) g;
ANALYZE cpu;
SELECT time_column, chunk_interval, segment_by, order_by, hot_rows, hot_bytes > 0 AS has_hot_bytes, cold_rows, segments, chunks, cold_first_time, cold_last_time,
  stays_hot_because, cold_bytes = (SELECT sum(bytes) FROM tsext.segments WHERE table_name = 'cpu') AS bytes_agree,
  total_bytes = pg_total_relation_size('cpu') AS total_agrees
FROM tsext.tables WHERE table_name = 'cpu' \gx
SELECT chunk, range_start, range_end, range_start_value, tier, level, hot_rows, cold_rows, segments
FROM tsext.chunks WHERE schema_name = 'views_test' AND table_name = 'cpu' ORDER BY range_start_value;
SELECT chunk, level, rows, first_time, last_time, pieces, bytes > 0 AS has_bytes FROM tsext.segments WHERE table_name = 'cpu' ORDER BY first_time_value;
SELECT column_name, data_type, cardinality(codecs) > 0 AS has_codec, rows, null_count, bits_per_value > 0 AS has_bits,
  distinct_estimate BETWEEN 1 AND rows AS sane_distinct
FROM tsext.columns WHERE table_name = 'cpu' ORDER BY column_name;
-- A column added later is in no segment; one that is dropped is not shown.
ALTER TABLE cpu ADD COLUMN later int DEFAULT 5, DROP COLUMN note;
SELECT column_name, codecs, rows, null_count, bits_per_value FROM tsext.columns WHERE table_name = 'cpu' AND column_name IN ('later', 'note');
SELECT count(*) FROM tsext.verify('cpu');

-- Sizes and counts.
SELECT hypertable_size('cpu') = pg_total_relation_size('cpu') AS size,
  (d).total_bytes = hypertable_size('cpu') AND (d).total_bytes = (d).table_bytes + (d).index_bytes + (d).toast_bytes AS detailed_size
FROM hypertable_detailed_size('cpu') d;
SELECT chunk_name, table_bytes > 0 AS hot, toast_bytes > 0 AS cold, total_bytes = table_bytes + index_bytes + toast_bytes AS adds_up
FROM chunks_detailed_size('cpu');
SELECT sum(c.table_bytes) BETWEEN d.table_bytes - 3 AND d.table_bytes + 3 AS heap_is_shared_out
FROM chunks_detailed_size('cpu') c, hypertable_detailed_size('cpu') d GROUP BY d.table_bytes;
SELECT approximate_row_count('cpu');
CREATE TABLE never_analyzed (time timestamptz) USING tsext;
SELECT approximate_row_count('never_analyzed');
CREATE TABLE parted (time timestamptz, v int) PARTITION BY RANGE (time);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM ('2024-01-01') TO ('2025-01-01') USING tsext;
CREATE TABLE parted_2 PARTITION OF parted DEFAULT;
INSERT INTO parted SELECT timestamptz '2024-12-31 12:00' + g * interval '1 hour', g FROM generate_series(1, 30) g;
ANALYZE parted;
SELECT approximate_row_count('parted'), approximate_row_count('parted_1'), approximate_row_count('parted_2');

-- Why tables stay hot.
CREATE TABLE with_key (time timestamptz PRIMARY KEY) USING tsext;
CREATE TABLE with_index (time timestamptz, v int) USING tsext;
CREATE INDEX ON with_index (v);
CREATE UNIQUE INDEX only_even ON with_index (v) WHERE v % 2 = 0;
CREATE TABLE excluding (during tstzrange, EXCLUDE USING gist (during WITH &&)) USING tsext;
CREATE UNLOGGED TABLE unlogged (time timestamptz) USING tsext;
CREATE TEMPORARY TABLE temporary (time timestamptz) USING tsext;
CREATE TABLE referencing (time timestamptz REFERENCES with_key) USING tsext;
SELECT table_name, stays_hot_because FROM tsext.tables WHERE table_name = ANY ('{with_key,with_index,excluding,unlogged,temporary,referencing}') ORDER BY 1;
DROP INDEX only_even;
SELECT stays_hot_because IS NULL AS may_be_cold FROM tsext.tables WHERE table_name = 'with_index';

-- What keeps young rows from becoming cold.
BEGIN;
INSERT INTO never_analyzed VALUES (now());
PREPARE TRANSACTION 'views_test';
SELECT DISTINCT horizon_held_by IS NOT NULL AS is_held FROM tsext.tables;
ROLLBACK PREPARED 'views_test';

-- Who may not read a table sees nothing of it.
CREATE ROLE views_stranger;
CREATE ROLE views_reader;
GRANT USAGE ON SCHEMA views_test TO views_stranger, views_reader;
GRANT SELECT ON cpu TO views_reader;
CREATE TABLE guarded (time timestamptz, who name, v int) USING tsext;
INSERT INTO guarded SELECT timestamptz '2024-01-15' + g * interval '1 minute', 'views_reader', g FROM generate_series(1, 100) g;
SELECT compress_chunk(c) FROM show_chunks('guarded') c;
GRANT SELECT ON guarded TO views_reader;
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON guarded USING (who = current_user AND v < 10);
CREATE FUNCTION leak(text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS $$ BEGIN RAISE WARNING 'leaked %', $1; RETURN true; END $$;
GRANT EXECUTE ON FUNCTION leak(text) TO PUBLIC;
SET ROLE views_stranger;
SELECT (SELECT count(*) FROM tsext.tables), (SELECT count(*) FROM tsext.chunks), (SELECT count(*) FROM tsext.segments), (SELECT count(*) FROM tsext.columns),
  (SELECT count(*) FROM tsext.options);
SELECT count(*) FROM tsext.tables WHERE leak(table_name);
SELECT count(*) FROM tsext.segments WHERE leak(first_time);
SELECT failure(c) FROM unnest(ARRAY[
  $$SELECT * FROM tsext.segment$$,
  $$SELECT * FROM tsext.tombstone$$,
  $$SELECT * FROM tsext.store_total$$,
  $$SELECT show_chunks('views_test.cpu')$$,
  $$SELECT tsext.chunk_list('views_test.cpu')$$,
  $$SELECT tsext.column_list('views_test.cpu')$$,
  $$SELECT tsext.series('views_test.cpu')$$,
  $$SELECT tsext.verify('views_test.cpu')$$,
  $$SELECT chunks_detailed_size('views_test.cpu')$$
]) c;
SET ROLE views_reader;
-- Row security: sizes are no secret, times and chunks are.
SELECT table_name, cold_rows, cold_first_time, cold_last_time FROM tsext.tables WHERE schema_name = 'views_test' ORDER BY 1;
SELECT table_name, count(*) FROM tsext.chunks WHERE schema_name = 'views_test' GROUP BY 1;
SELECT table_name, count(*) FROM tsext.segments WHERE schema_name = 'views_test' GROUP BY 1;
SELECT DISTINCT table_name FROM tsext.columns WHERE schema_name = 'views_test';
SELECT count(*) FROM show_chunks('views_test.cpu');
SELECT failure(c) FROM unnest(ARRAY[
  $$SELECT show_chunks('views_test.guarded')$$,
  $$SELECT tsext.series('views_test.guarded')$$,
  $$SELECT tsext.column_list('views_test.guarded')$$,
  $$SELECT tsext.verify('views_test.guarded')$$
]) c;
RESET ROLE;
SELECT table_name, cold_first_time FROM tsext.tables WHERE table_name = 'guarded';

-- tsext.verify(): a directory that does not say what the segments hold.
CREATE TABLE checked (time timestamptz, host text, v float8, n int) USING tsext WITH (tsext.segment_by = 'host', tsext.chunk_interval = '1 hour');
INSERT INTO checked SELECT timestamptz '2024-01-15 00:00+00' + g * interval '1 second', 'host ' || g % 3, g / 8.0, g % 5 FROM generate_series(0, 4999) g;
SELECT compress_chunk(c) FROM show_chunks('checked') c;
SELECT * FROM tsext.verify('checked');
SELECT reltoastrelid AS store FROM pg_class WHERE oid = 'checked'::regclass \gset
UPDATE tsext.segment SET seg = 1000 + (SELECT count(*) FROM tsext.segment o WHERE o.store = s.store AND o.chunk_start < s.chunk_start) FROM tsext.segment s
WHERE segment.store = :store AND s.store = segment.store AND s.seg = segment.seg;
CREATE FUNCTION problems(change text) RETURNS TABLE (segment int, column_name name, problem text) LANGUAGE plpgsql AS $$
BEGIN
  BEGIN
    EXECUTE change;
    CREATE TEMPORARY TABLE found ON COMMIT DROP AS SELECT v.segment, v.column_name, v.problem FROM tsext.verify('checked') v;
    RETURN QUERY SELECT * FROM found ORDER BY 1, 2, 3;
    RAISE EXCEPTION 'undo' USING errcode = 'XXOK0';
  EXCEPTION WHEN SQLSTATE 'XXOK0' THEN NULL;
  END;
END $$;
SELECT * FROM problems(format('UPDATE tsext.segment SET nrows = nrows + 1 WHERE store = %s AND seg = 1000', :store));
SELECT * FROM problems(format('UPDATE tsext.segment SET tmin = tmin - 1 WHERE store = %s AND seg = 1000', :store));
SELECT * FROM problems(format('UPDATE tsext.segment SET tmax = tmax - 1 WHERE store = %s AND seg = 1001', :store));
SELECT * FROM problems(format('UPDATE tsext.segment SET level = 3 - level WHERE store = %s AND seg = 1000', :store));
SELECT * FROM problems(format('UPDATE tsext.segment SET valueid = 1 WHERE store = %s AND seg = 1000', :store));
SELECT * FROM problems(format('UPDATE tsext.segment SET nbytes = nbytes - 8 WHERE store = %s AND seg = 1000', :store));
SELECT * FROM problems(format('UPDATE tsext.segment SET key_hi = key_lo WHERE store = %s AND seg = 1000', :store));
SELECT * FROM problems(format('UPDATE tsext.segment SET chunk_end = chunk_end + 1 WHERE store = %s AND seg = 1000', :store));
SELECT * FROM problems(format('DELETE FROM tsext.segment WHERE store = %s AND seg = 1000', :store));
SELECT count(*) FROM tsext.verify('checked');

-- Every byte of a segment, one after the other, flipped: verify() must see it, and name nothing else.
SET allow_system_table_mods = on;
CREATE TABLE bytes (time timestamptz NOT NULL, id int, v float8, s text) USING tsext WITH (tsext.segment_by = 'id');
INSERT INTO bytes SELECT timestamptz '2024-01-01 00:00+00' + g * interval '1 s', g % 4, g % 5 * 0.5, (ARRAY['red', 'green', NULL, 'blue'])[g % 4 + 1]
FROM generate_series(1, 4200) g;
SELECT compress_chunk(c) FROM show_chunks('bytes') c;
SELECT reltoastrelid::regclass AS toast, reltoastrelid::oid AS store FROM pg_class WHERE oid = 'bytes'::regclass \gset
SELECT sum(npieces) FROM tsext.segment WHERE store = :store;
UPDATE pg_class SET relkind = 'r' WHERE oid = :store;
CREATE TABLE saved AS SELECT * FROM :toast;
DELETE FROM :toast;
VACUUM :toast;
SELECT problem FROM tsext.verify('bytes');
CREATE FUNCTION flip_every_byte(toast text) RETURNS TABLE (outcome text, times bigint) LANGUAGE plpgsql AS $$
DECLARE
  saved saved;
  found text;
  outcomes text[];
BEGIN
  SELECT * INTO saved FROM saved;
  FOR i IN 0 .. length(saved.chunk_data) - 1 LOOP
    BEGIN
      EXECUTE format('INSERT INTO %s VALUES ($1, $2, $3)', toast) USING saved.chunk_id, saved.chunk_seq,
        set_byte(saved.chunk_data, i, get_byte(saved.chunk_data, i) # (1 << i % 8));
      SELECT coalesce(string_agg(DISTINCT coalesce(column_name, 'head'), ',' ORDER BY coalesce(column_name, 'head')), 'nothing') INTO found FROM tsext.verify('bytes');
      RAISE EXCEPTION 'undo' USING errcode = 'XXOK0';
    EXCEPTION WHEN SQLSTATE 'XXOK0' THEN outcomes := outcomes || found;
    END;
  END LOOP;
  RETURN QUERY SELECT o, count(*) FROM unnest(outcomes) o GROUP BY 1;
END $$;
CREATE TABLE outcomes AS SELECT * FROM flip_every_byte(:'toast');
SELECT outcome FROM outcomes WHERE outcome <> 'nothing' ORDER BY outcome COLLATE "C";
-- Only bytes between blocks, at most seven before each, may change without notice.
SELECT coalesce(sum(times), 0) <= 4 * 7 AS only_padding FROM outcomes WHERE outcome = 'nothing';
INSERT INTO :toast SELECT * FROM saved;
UPDATE pg_class SET relkind = 't' WHERE oid = :store;
SELECT count(*) FROM tsext.verify('bytes');

SELECT failure(c) FROM unnest(ARRAY[
  $$SELECT tsext.verify('pg_class')$$,
  $$SELECT tsext.series('pg_class')$$,
  $$SELECT tsext.column_list('pg_class')$$,
  $$SELECT tsext.verify(0)$$
]) c;
SELECT tsext.verify(NULL), tsext.chunk_list(NULL), hypertable_size(NULL), approximate_row_count(NULL);

ALTER SYSTEM RESET tsext.compact_background;
SELECT pg_reload_conf();
DROP SCHEMA views_test CASCADE;
DROP ROLE views_stranger, views_reader;
