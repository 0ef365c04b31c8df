-- tsext.compact(), merges, chunks dropped and decompressed: always compared with a heap twin.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS tsext;
SET client_min_messages = notice;
SET timezone = 'UTC';
SET datestyle = 'ISO';

CREATE TABLE twin (time timestamptz NOT NULL, host text, v float8, n int, note text);
CREATE TABLE cold (time timestamptz NOT NULL, host text, v float8, n int, note text) USING tsext
  WITH (tsext.chunk_interval = '1 day');
-- the rows that one table has and the other has not
CREATE FUNCTION differences() RETURNS bigint LANGUAGE sql AS $$
  SELECT count(*) FROM ((TABLE twin EXCEPT ALL TABLE cold) UNION ALL (TABLE cold EXCEPT ALL TABLE twin)) d $$;
CREATE FUNCTION fill(day date, rows int) RETURNS void LANGUAGE sql AS $$
  INSERT INTO twin SELECT day + g * interval '20 s', 'host_' || g % 7, sin(g) * 100, nullif(g % 5, 0),
    CASE WHEN g % 3 = 0 THEN 'note ' || g END FROM generate_series(0, rows - 1) g;
  INSERT INTO cold SELECT day + g * interval '20 s', 'host_' || g % 7, sin(g) * 100, nullif(g % 5, 0),
    CASE WHEN g % 3 = 0 THEN 'note ' || g END FROM generate_series(0, rows - 1) g $$;
SET tsext.enable_bulk = off;

SELECT fill('2024-01-01', 1000);
SELECT differences();
SELECT rows_moved, segments_written, segments_merged, bytes_after < bytes_before AS smaller
FROM tsext.compact('cold', level => 'hot');
SELECT differences();
SELECT rows_moved FROM tsext.compact('cold', level => 'hot');
SELECT count(*), sum(n) FROM cold WHERE host = 'host_3';

-- hot and cold
SELECT fill('2024-01-01', 500);
SELECT fill('2024-01-02', 500);
SELECT differences();
SELECT rows_moved, segments_merged > 0 AS merged FROM tsext.compact('cold', level => 'hot');
SELECT differences();
-- the COLD codecs, and back
SELECT rows_moved, segments_merged > 0 AS merged FROM tsext.compact('cold', level => 'cold');
SELECT differences();
SELECT DISTINCT level FROM tsext.segment WHERE store = (SELECT reltoastrelid FROM pg_class WHERE oid = 'cold'::regclass);
SELECT rows_moved, segments_merged FROM tsext.compact('cold', level => 'cold');

-- only what is old
SELECT fill('2024-01-03', 500);
SELECT fill('2024-01-09', 500);
SELECT rows_moved FROM tsext.compact('cold', older_than => '2024-01-05'::timestamptz);
SELECT rows_moved FROM tsext.compact('cold', older_than => '2024-01-05');
SELECT rows_moved FROM tsext.compact('cold', older_than => interval '1 day');
SELECT differences();

-- cold rows cannot be changed yet, hot ones can; DELETE of nothing is fine
UPDATE cold SET n = 0 WHERE time < '2024-01-02';
DELETE FROM cold WHERE time < '2024-01-02';
SELECT * FROM cold WHERE time = '2024-01-01' FOR UPDATE;
DELETE FROM cold WHERE time < '2020-01-01';
SELECT fill('2024-02-01', 100);
UPDATE cold SET n = -1 WHERE time >= '2024-02-01';
UPDATE twin SET n = -1 WHERE time >= '2024-02-01';
DELETE FROM cold WHERE time >= '2024-02-01' AND host = 'host_1';
DELETE FROM twin WHERE time >= '2024-02-01' AND host = 'host_1';
SELECT differences();

-- rows of the own transaction stay hot; savepoints
BEGIN;
INSERT INTO cold SELECT '2024-03-01', 'x', g FROM generate_series(1, 10) g;
INSERT INTO twin SELECT '2024-03-01', 'x', g FROM generate_series(1, 10) g;
SELECT rows_moved FROM tsext.compact('cold');
SAVEPOINT s;
SELECT rows_moved >= 0 AS ok FROM tsext.compact('cold', level => 'cold');
SELECT differences();
ROLLBACK TO s;
SELECT differences();
COMMIT;
SELECT differences();

-- chunks
SELECT c FROM show_chunks('cold') c;
SELECT compress_chunk(c) FROM show_chunks('cold') c ORDER BY 1 LIMIT 1;
SELECT decompress_chunk('public.cold@2024-01-01 00:00:00+00');
SELECT decompress_chunk('public.cold@2024-01-01 00:00:00+00');
SELECT decompress_chunk('public.cold@2024-01-01 00:00:00+00', if_compressed => false);
SELECT differences();
UPDATE cold SET n = 7 WHERE time < '2024-01-02' AND host = 'host_2';
UPDATE twin SET n = 7 WHERE time < '2024-01-02' AND host = 'host_2';
SELECT differences();
SELECT compress_chunk('public.cold@2024-01-01 00:00:00+00');
SELECT compress_chunk('public.cold@2024-01-01 00:00:00+00');
SELECT compress_chunk('public.cold@2024-01-01 00:00:00+00', if_not_compressed => false);
SELECT differences();
SELECT compress_chunk('public.cold@2031-01-01 00:00:00+00');
SELECT compress_chunk('nonsense');

SELECT * FROM drop_chunks('cold', older_than => '2024-01-03'::timestamptz);
DELETE FROM twin WHERE time < '2024-01-03';
SELECT differences();
SELECT * FROM drop_chunks('cold', newer_than => '2024-02-15'::timestamptz, verbose => true);
DELETE FROM twin WHERE time >= '2024-02-15';
SELECT differences();
BEGIN;
SELECT count(*) > 0 AS dropped FROM drop_chunks('cold', older_than => '2030-01-01');
SELECT count(*) FROM cold;
ROLLBACK;
SELECT differences();
SELECT count(*) FROM drop_chunks('cold', older_than => '1990-01-01'::timestamptz);

-- wrong use
SELECT drop_chunks('cold');
SELECT drop_chunks(NULL);
SELECT drop_chunks('cold', older_than => 5);
SELECT tsext.compact('cold', level => 'warm');
SELECT tsext.compact('twin');
SELECT tsext.compact('pg_class');
SELECT tsext.compact(NULL);
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT tsext.compact('cold');
ROLLBACK;
CREATE ROLE tsext_stranger;
SET ROLE tsext_stranger;
SELECT tsext.compact('cold');
SELECT drop_chunks('cold', older_than => '2030-01-01');
SELECT decompress_chunk('public.cold@2024-01-03 00:00:00+00');
RESET ROLE;
DROP ROLE tsext_stranger;

-- index expressions are evaluated by the table's owner, whoever moves its rows
CREATE ROLE tsext_owner;
CREATE FUNCTION tell_user(n int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'evaluated by %', current_user; RETURN n; END $$;
CREATE TABLE theirs (time timestamptz, n int) USING tsext;
INSERT INTO theirs VALUES ('2024-01-01', 1);
SELECT rows_moved FROM tsext.compact('theirs');
CREATE INDEX ON theirs (tell_user(n));
ALTER TABLE theirs OWNER TO tsext_owner;
SELECT count(decompress_chunk(c)) FROM show_chunks('theirs') c;
SELECT current_user = session_user AS same, n FROM theirs;
DROP TABLE theirs;
DROP FUNCTION tell_user;
DROP ROLE tsext_owner;

-- a unique key keeps a table hot
CREATE TABLE keyed (time timestamptz PRIMARY KEY, v int) USING tsext;
INSERT INTO keyed SELECT '2024-01-01'::timestamptz + g * interval '1 s', g FROM generate_series(1, 10) g;
SELECT rows_moved FROM tsext.compact('keyed');
SELECT compress_chunk('public.keyed@2024-01-01 00:00:00+00');
SELECT count(*) FROM keyed;
-- a foreign key that references it: drop_chunks is refused
CREATE TABLE pointing (time timestamptz REFERENCES keyed);
SELECT drop_chunks('keyed', older_than => '2030-01-01');
DROP TABLE pointing, keyed;

-- rows without a finite time live in the heap
CREATE TABLE timeless (time timestamptz, v int) USING tsext;
INSERT INTO timeless VALUES (NULL, 1), ('infinity', 2), ('-infinity', 3), ('2024-01-01', 4);
SELECT rows_moved FROM tsext.compact('timeless');
SELECT * FROM timeless ORDER BY v;
UPDATE timeless SET v = v + 10 WHERE v < 4;
SELECT * FROM timeless ORDER BY v;
DROP TABLE timeless;

-- no time column: one chunk
CREATE TABLE plain (a int, b text) USING tsext;
INSERT INTO plain SELECT g, 'b' || g % 3 FROM generate_series(1, 2000) g;
SELECT rows_moved FROM tsext.compact('plain');
SELECT count(*), sum(a), count(DISTINCT b) FROM plain;
SELECT drop_chunks('plain', older_than => 5);
DROP TABLE plain;

-- an empty table, an empty chunk
CREATE TABLE empty (time timestamptz NOT NULL, v int) USING tsext;
SELECT * FROM tsext.compact('empty');
SELECT count(*) FROM drop_chunks('empty', older_than => now());
DROP TABLE empty;

-- far past and future, and neighbours joined into one chunk
CREATE TABLE far (time timestamptz NOT NULL, v int) USING tsext;
INSERT INTO far VALUES ('4713-01-01 BC', 1), ('294276-12-31 23:59:59.999999', 2), ('2000-01-01', 3), ('1969-12-31 23:59:59.999999', 4);
SELECT rows_moved FROM tsext.compact('far');
SELECT rows_moved FROM tsext.compact('far');
SELECT * FROM far ORDER BY time;
DROP TABLE far;
CREATE TABLE sparse (time timestamptz NOT NULL, v int) USING tsext;
INSERT INTO sparse SELECT '2020-01-01'::timestamptz + g * interval '1 hour', g FROM generate_series(0, 24 * 400) g;
SELECT rows_moved FROM tsext.compact('sparse');
SELECT count(*) <= 4 AS few_segments FROM tsext.segment WHERE store = (SELECT reltoastrelid FROM pg_class WHERE oid = 'sparse'::regclass);
SELECT count(*), sum(v) FROM sparse;
DROP TABLE sparse;

DROP TABLE twin, cold;
DROP FUNCTION differences(), fill(date, int);
