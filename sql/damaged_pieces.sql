-- Damage in segments of several pieces: a missing piece, swapped pieces, a piece of another segment, a flipped byte. The error
-- names table, chunk, segment and column; tsext.verify() lists it; the rest stays readable; the chunk can be dropped.
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET allow_system_table_mods = on;
SET tsext.footer_cache_size = 0;
SET client_min_messages = warning;
CREATE SCHEMA damaged_pieces_test;
SET search_path = damaged_pieces_test, public;
CREATE TABLE broken (time timestamptz NOT NULL, id int, noise text, v float8) USING tsext WITH (tsext.chunk_interval = '1 day', tsext.segment_by = '');
CREATE TABLE truth AS
SELECT timestamptz '2024-01-01' + g * interval '1 minute' AS time, g AS id, md5(g::text) AS noise, g / 8.0::float8 AS v FROM generate_series(0, 1440 * 3 - 1) g;
SET tsext.enable_bulk = off;
INSERT INTO broken SELECT * FROM truth;
SELECT segments_written FROM tsext.compact('broken');
SELECT reltoastrelid::regclass AS toast, reltoastrelid::oid AS store FROM pg_class WHERE oid = 'broken'::regclass \gset
-- Ids of their own keep the messages apart from what other tests do.
UPDATE tsext.segment s SET seg = 4800 + (SELECT count(*) FROM tsext.segment o WHERE o.store = s.store AND o.chunk_start < s.chunk_start) WHERE store = :store;
SELECT seg, npieces > 3 AS several_pieces, nrows FROM tsext.segment WHERE store = :store ORDER BY seg;
SELECT valueid AS first FROM tsext.segment WHERE store = :store AND seg = 4800 \gset
SELECT valueid AS second FROM tsext.segment WHERE store = :store AND seg = 4801 \gset

-- A TOAST relation can be changed while it looks like a table.
UPDATE pg_class SET relkind = 'r' WHERE oid = :store;
CREATE TABLE saved AS SELECT chunk_id, chunk_seq, chunk_data || '' AS chunk_data FROM :toast;
-- The command's answer or error; what it did is taken back.
CREATE FUNCTION outcome(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE state text; message text; detail text; hint text; n text;
BEGIN
  EXECUTE command INTO n;
  RAISE EXCEPTION 'undo' USING errcode = 'XXOK0';
EXCEPTION WHEN SQLSTATE 'XXOK0' THEN
  RETURN 'fine: ' || n;
WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
  RETURN concat_ws(' | ', state, message, detail);
END $$;
-- What every reader says of the table as it is.
CREATE FUNCTION look() RETURNS TABLE (what text, outcome text) LANGUAGE sql AS $$
  SELECT w, damaged_pieces_test.outcome(c) FROM (VALUES
    ('all rows', 'SELECT count(*) || '' '' || sum(hashtext(b::text)) FROM broken b'),
    ('noise', 'SELECT sum(hashtext(noise)) FROM broken'),
    ('the other columns', 'SELECT sum(id) + sum(v) || '' '' || max(time) FROM broken'),
    ('the other chunks', 'SELECT sum(hashtext(b::text)) FROM broken b WHERE time >= ''2024-01-03'''),
    ('aggregates of footers', 'SELECT sum(rows) FROM tsext.series(''broken'')'),
    ('rewriting', 'SELECT segments_written FROM tsext.compact(''broken'', level => ''hot'')'),
    ('decompressing', 'SELECT count(decompress_chunk(c)) FROM show_chunks(''broken'', older_than => ''2024-01-03''::timestamptz) c')
  ) v(w, c)
$$;
SELECT * FROM look();

-- A piece in the middle is gone. What was deleted is good until vacuum takes it.
DELETE FROM :toast WHERE chunk_id = :second AND chunk_seq = 2;
VACUUM :toast;
SELECT * FROM look();
SELECT * FROM tsext.verify('broken');

-- Two pieces have changed places.
DELETE FROM :toast WHERE chunk_id = :second;
VACUUM :toast;
INSERT INTO :toast SELECT chunk_id, CASE chunk_seq WHEN 1 THEN 2 WHEN 2 THEN 1 ELSE chunk_seq END, chunk_data FROM saved WHERE chunk_id = :second;
SELECT * FROM look() WHERE what IN ('all rows', 'noise', 'the other columns', 'the other chunks');
SELECT * FROM tsext.verify('broken');

-- A piece of another segment; its first piece is found out by the head, too.
DELETE FROM :toast WHERE chunk_id = :second;
VACUUM :toast;
INSERT INTO :toast SELECT chunk_id, chunk_seq, CASE chunk_seq WHEN 2 THEN (SELECT chunk_data FROM saved WHERE chunk_id = :first AND chunk_seq = 2) ELSE chunk_data END
FROM saved WHERE chunk_id = :second;
SELECT * FROM look() WHERE what IN ('all rows', 'noise', 'the other columns', 'the other chunks');
SELECT * FROM tsext.verify('broken');
DELETE FROM :toast WHERE chunk_id = :second;
VACUUM :toast;
INSERT INTO :toast SELECT chunk_id, chunk_seq, CASE chunk_seq WHEN 0 THEN (SELECT chunk_data FROM saved WHERE chunk_id = :first AND chunk_seq = 0) ELSE chunk_data END
FROM saved WHERE chunk_id = :second;
SELECT * FROM look() WHERE what IN ('all rows', 'noise', 'the other columns', 'the other chunks', 'aggregates of footers');
SELECT * FROM tsext.verify('broken');

-- One byte of the third piece, and a piece cut short.
DELETE FROM :toast WHERE chunk_id = :second;
VACUUM :toast;
INSERT INTO :toast SELECT chunk_id, chunk_seq, CASE chunk_seq WHEN 2 THEN set_byte(chunk_data, 4000, get_byte(chunk_data, 4000) # 16) ELSE chunk_data END
FROM saved WHERE chunk_id = :second;
SELECT * FROM look() WHERE what IN ('all rows', 'noise', 'the other columns', 'the other chunks');
SELECT * FROM tsext.verify('broken');
DELETE FROM :toast WHERE chunk_id = :second;
VACUUM :toast;
INSERT INTO :toast SELECT chunk_id, chunk_seq, CASE chunk_seq WHEN 2 THEN substr(chunk_data, 1, 8000) ELSE chunk_data END FROM saved WHERE chunk_id = :second;
SELECT * FROM look() WHERE what IN ('all rows', 'noise', 'the other columns', 'the other chunks');
SELECT * FROM tsext.verify('broken');

-- Nothing of it is left at all.
DELETE FROM :toast WHERE chunk_id = :second;
VACUUM :toast;
SELECT * FROM look();
SELECT * FROM tsext.verify('broken');

-- New rows can be added and moved to segments beside the damage. What cannot be read is not merged, but keeps nobody from the rest.
INSERT INTO broken SELECT time + interval '3 days', id + 10000, noise, v FROM truth WHERE id < 1440;
INSERT INTO broken SELECT time, id + 20000, noise, v FROM truth WHERE id BETWEEN 1440 AND 1539 OR id < 100;
SELECT rows_moved, segments_written, segments_merged FROM tsext.compact('broken');
SELECT count(*), sum(id) FROM broken WHERE time >= '2024-01-04';

-- The damaged chunk can be dropped, and the others are as they were.
UPDATE pg_class SET relkind = 't' WHERE oid = :store;
SELECT drop_chunks('broken', newer_than => '2024-01-02'::timestamptz, older_than => '2024-01-03'::timestamptz);
SELECT count(*) FROM tsext.verify('broken');
SELECT count(*) FROM ((TABLE broken EXCEPT ALL TABLE truth) UNION ALL (TABLE truth EXCEPT ALL TABLE broken)) d
WHERE (time < '2024-01-02' OR time >= '2024-01-03' AND time < '2024-01-04') AND id < 20000;
SELECT count(*), sum(id) FROM broken WHERE time >= '2024-01-04';
VACUUM :toast;
DROP SCHEMA damaged_pieces_test CASCADE;
