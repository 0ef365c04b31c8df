-- The store below cold rows: segments of many pieces, hints that no longer hold, subtransactions,
-- cursors in both directions, tuple ids, parallel scans.
SET timezone = 'UTC';
CREATE TABLE store_heap (time timestamptz NOT NULL, id int, device text, noise text);
INSERT INTO store_heap
SELECT '2024-01-01 00:00Z'::timestamptz + g * interval '10 s', g, 'device ' || g % 4, md5(g::text)
FROM generate_series(1, 30000) g;
CREATE TABLE store_cold (LIKE store_heap) USING tsext;
INSERT INTO store_cold SELECT * FROM store_heap;
CREATE VIEW differences AS SELECT count(*) AS differences FROM (
  (TABLE store_heap EXCEPT ALL TABLE store_cold) UNION ALL
  (TABLE store_cold EXCEPT ALL TABLE store_heap)) d;
SELECT reltoastrelid::regclass AS toast, reltoastrelid::oid AS store FROM pg_class
WHERE oid = 'store_cold'::regclass \gset
SELECT count(*) AS segments, sum(nrows) AS nrows, min(npieces) > 10 AS many_pieces
FROM tsext.segment WHERE store = :store;
SELECT * FROM differences;

-- Pieces that moved are found through the index.
VACUUM FULL :toast;
SELECT * FROM differences;
REINDEX TABLE :toast;
SELECT * FROM differences;

-- What is rolled back is not there; what stays is.
BEGIN;
INSERT INTO store_heap SELECT time, id + 100000, device, noise FROM store_heap WHERE id <= 5000;
INSERT INTO store_cold SELECT time, id + 100000, device, noise FROM store_heap WHERE id <= 5000;
SELECT * FROM differences;
SAVEPOINT one;
INSERT INTO store_cold SELECT time, id + 200000, device, noise FROM store_heap WHERE id <= 5000;
SELECT count(*) FROM store_cold;
ROLLBACK TO one;
SELECT * FROM differences;
DO $$
BEGIN
  INSERT INTO store_cold SELECT time, id + 300000, device, noise FROM store_heap WHERE id <= 5000;
  RAISE EXCEPTION 'no';
EXCEPTION WHEN OTHERS THEN
  RAISE NOTICE '%', SQLERRM;
END $$;
SELECT * FROM differences;
TRUNCATE store_cold;
SELECT count(*) FROM store_cold;
ROLLBACK;
SELECT count(*) AS back_again FROM store_cold;
VACUUM store_cold;
VACUUM :toast;
SELECT count(*), sum(hashtext(noise)) = (SELECT sum(hashtext(md5(g::text))) FROM generate_series(1, 30000) g) AS same
FROM store_cold;

-- A cursor reads in both directions, over the borders of vectors and segments and the hot rows.
INSERT INTO store_cold VALUES ('2024-01-10', -1, 'hot', 'hot');
CREATE TABLE numbered AS SELECT row_number() OVER () AS n, ctid AS tid, id FROM store_cold;
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT ctid, id FROM store_cold;
MOVE FORWARD 15000 IN c;
CREATE TABLE fetched (n serial, tid tid, id int);
CREATE FUNCTION fetch_some(n int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  c refcursor := 'c';
  r record;
BEGIN
  FOR i IN 1 .. abs(n) LOOP
    IF n > 0 THEN FETCH NEXT FROM c INTO r; ELSE FETCH PRIOR FROM c INTO r; END IF;
    IF FOUND THEN INSERT INTO fetched (tid, id) VALUES (r.ctid, r.id); END IF;
  END LOOP;
END $$;
SELECT fetch_some(-3000);
SELECT count(*), bool_and(numbered.id = fetched.id AND numbered.tid = fetched.tid)
FROM fetched JOIN numbered ON numbered.n = 15000 - fetched.n;
MOVE ABSOLUTE 30001 IN c;
TRUNCATE fetched RESTART IDENTITY;
SELECT fetch_some(1), fetch_some(-2), fetch_some(5);
SELECT count(*), count(DISTINCT id) FROM fetched;
MOVE BACKWARD ALL IN c;
MOVE FORWARD ALL IN c;
FETCH PRIOR FROM c \gset last_
SELECT :last_id = (SELECT id FROM numbered ORDER BY n DESC LIMIT 1) AS is_last;
COMMIT;

-- Single rows by tuple id; ids that name nothing.
SELECT count(*) FROM (SELECT tid FROM numbered WHERE n % 6000 = 5) n JOIN store_cold ON ctid = tid;
SELECT count(*) FROM store_cold WHERE ctid = '(4294967280,1)';
SELECT count(*) FROM store_cold WHERE ctid = (SELECT regexp_replace(max(tid)::text, ',.*', ',65000)')::tid FROM numbered);

-- Participants of a parallel scan share the segments.
INSERT INTO store_cold SELECT time + interval '30 days' * (g / 6), id, device, noise
FROM store_heap, generate_series(1, 12) g;
SELECT count(*) > 1 AS several_segments FROM tsext.segment WHERE store = :store;
SELECT count(*), sum(id), sum(hashtext(noise)) AS hash FROM store_cold \gset serial_
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 3;
SELECT count(*) = :serial_count AND sum(id) = :serial_sum AND sum(hashtext(noise)) = :serial_hash AS same FROM store_cold;
SET force_parallel_mode = on;
SET parallel_leader_participation = off;
SELECT count(*) = :serial_count AND sum(id) = :serial_sum AND sum(hashtext(noise)) = :serial_hash AS same FROM store_cold;
RESET force_parallel_mode;

-- A footer cache of no size.
SET tsext.footer_cache_size = 0;
SELECT count(*) = :serial_count AND sum(id) = :serial_sum AS same FROM store_cold;
SET client_min_messages = warning;
DROP TABLE store_cold CASCADE;
DROP TABLE store_heap, numbered, fetched;
DROP FUNCTION fetch_some;
