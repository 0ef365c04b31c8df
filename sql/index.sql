-- Indexes on hot tables: every way to build one, compared with a heap twin, and checked by amcheck.
SET client_min_messages = warning;
CREATE SCHEMA index_test;
SET search_path = index_test, public;
CREATE EXTENSION IF NOT EXISTS amcheck SCHEMA public;
RESET client_min_messages;
SET timezone = 'UTC';
SET tsext.enable_bulk = off;

CREATE TABLE t (id int, at timestamptz, v float8, s text, b box, n int) USING tsext;
CREATE TABLE h (id int, at timestamptz, v float8, s text, b box, n int) USING heap;
INSERT INTO t SELECT g, '2024-01-01'::timestamptz + g * interval '1 s', g % 97 / 4.0, 's' || g % 1000,
                     box(point(g, g), point(g + 1, g + 1)), nullif(g % 50, 0) FROM generate_series(1, 8000) g;
-- HOT chains, dead and recently dead rows, an aborted insert.
UPDATE t SET v = v + 1 WHERE id % 10 = 0;
UPDATE t SET v = v + 1 WHERE id % 20 = 0;
DELETE FROM t WHERE id % 37 = 0;
BEGIN; INSERT INTO t (id) SELECT generate_series(1, 1000); ROLLBACK;
INSERT INTO h SELECT * FROM t;

-- The same query through the index and without it, on the table and on its twin: one row each when all is well.
CREATE FUNCTION same(condition text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  results text[] = '{}';
  result text;
  name text;
  on_off text;
BEGIN
  FOREACH on_off IN ARRAY '{on,off}'::text[] LOOP
    PERFORM set_config('enable_indexscan', on_off, true), set_config('enable_bitmapscan', on_off, true),
            set_config('enable_indexonlyscan', on_off, true),
            set_config('enable_seqscan', CASE on_off WHEN 'on' THEN 'off' ELSE 'on' END, true);
    FOREACH name IN ARRAY '{t,h}'::text[] LOOP
      EXECUTE format('SELECT count(*) || '' '' || md5(string_agg(x::text, '','' ORDER BY id)) FROM %I x WHERE %s', name, condition)
        INTO result;
      results := results || result;
    END LOOP;
  END LOOP;
  IF (SELECT count(DISTINCT r) FROM unnest(results) r) = 1 THEN RETURN split_part(results[1], ' ', 1) || ' rows'; END IF;
  RETURN 'DIFFERENT: ' || results::text;
END $$;

-- Plain, concurrent, unique, partial, of expressions, covering; all index types.
CREATE INDEX t_at ON t (at);
CREATE INDEX CONCURRENTLY t_v ON t (v);
CREATE INDEX t_part ON t (s) WHERE n > 10;
CREATE INDEX CONCURRENTLY t_expr ON t ((id * 2), lower(s)) INCLUDE (v) WHERE id > 100;
CREATE INDEX t_hash ON t USING hash (s);
CREATE INDEX t_gist ON t USING gist (b);
CREATE INDEX t_brin ON t USING brin (at) WITH (pages_per_range = 4);
CREATE INDEX t_spgist ON t USING spgist (s);
CREATE INDEX t_gin ON t USING gin ((ARRAY[n, id % 7]));
SELECT same($$at BETWEEN '2024-01-01 01:00' AND '2024-01-01 02:00'$$);
SELECT same('v = 3.25');
SELECT same($$n > 10 AND s = 's77'$$);
SELECT same('id > 100 AND id * 2 = 5002');
SELECT same($$s = 's500'$$);
SELECT same($$b && '(100,100),(200,200)'$$);
SELECT same('ARRAY[n, id % 7] @> ARRAY[3]');
SET enable_seqscan = off;
SET enable_bitmapscan = off;
EXPLAIN (COSTS OFF) SELECT * FROM t WHERE at = '2024-01-01 01:00';
EXPLAIN (COSTS OFF) SELECT * FROM t WHERE b && '(100,100),(200,200)';
RESET enable_bitmapscan;
RESET enable_seqscan;

-- Unique keys: found violations, deferred and exclusion constraints, NULLS NOT DISTINCT.
\set VERBOSITY terse
CREATE UNIQUE INDEX CONCURRENTLY t_not_unique ON t (s);
SELECT indisvalid FROM pg_index WHERE indexrelid = 't_not_unique'::regclass;
DROP INDEX t_not_unique;
CREATE UNIQUE INDEX t_not_unique ON t (n) NULLS NOT DISTINCT;
CREATE UNIQUE INDEX t_id ON t (id);
ALTER TABLE t ADD CONSTRAINT t_no_overlap EXCLUDE USING btree (at WITH =);
ALTER TABLE t ADD CONSTRAINT t_overlap EXCLUDE USING btree (v WITH =);
\set VERBOSITY default
ALTER TABLE t ADD PRIMARY KEY USING INDEX t_id;
SELECT same('id = 778');
INSERT INTO t (id) VALUES (778);
INSERT INTO t (id, v) VALUES (778, -1) ON CONFLICT (id) DO UPDATE SET v = excluded.v RETURNING id, v;
UPDATE h SET v = -1 WHERE id = 778;
SELECT same('v < 0');

-- Index-only scans after VACUUM; REINDEX; parallel builds; amcheck with all heap tuples.
VACUUM t;
SELECT same('id BETWEEN 500 AND 600');
REINDEX TABLE t;
REINDEX TABLE CONCURRENTLY t;
SET min_parallel_table_scan_size = 0;
SET max_parallel_maintenance_workers = 2;
ALTER TABLE t SET (parallel_workers = 2);
CREATE INDEX t_parallel ON t (s, id);
CREATE INDEX t_parallel_expr ON t ((v * 2)) WHERE n IS NOT NULL;
REINDEX INDEX t_id;
SELECT same($$s = 's99' AND id > 5$$);
SELECT same('v * 2 = 10.5 AND n IS NOT NULL');
SELECT c.relname, bt_index_check(c.oid, true), bt_index_parent_check(c.oid, true, true)
FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid JOIN pg_am a ON a.oid = c.relam
WHERE i.indrelid = 't'::regclass AND a.amname = 'btree' ORDER BY c.relname;
SELECT reltuples = (SELECT count(*) FROM t) AS counted FROM pg_class WHERE oid = 't_parallel'::regclass;
SELECT brin_desummarize_range('t_brin', 0), brin_summarize_new_values('t_brin') > 0;
SELECT same($$at < '2024-01-01 00:01'$$);

-- An index made while another transaction updates HOT rows stays right for an older snapshot.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM t;
UPDATE t SET s = 'new' WHERE id = 1;
CREATE INDEX t_own ON t (s);
SELECT count(*) FROM t WHERE s = 'new';
ROLLBACK;

-- CREATE INDEX fails in the middle; the session goes on.
CREATE FUNCTION fails_late(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
  IF $1 = 5000 THEN RAISE EXCEPTION 'no more'; END IF;
  RETURN $1;
END $$;
CREATE INDEX t_fails ON t (fails_late(id));
DO $$ BEGIN
  CREATE INDEX t_fails ON t (fails_late(id));
EXCEPTION WHEN raise_exception THEN RAISE NOTICE 'caught: %', sqlerrm; END $$;
SELECT same('id > 4500');

-- CLUSTER in index order, in sort order; VACUUM FULL.
CLUSTER t USING t_id;
SELECT same('id % 5 = 0');
SET enable_indexscan = off;
CLUSTER t USING t_v;
RESET enable_indexscan;
VACUUM FULL t;
SELECT same('v = 3.25');
UPDATE t SET id = -id WHERE id = 1;
UPDATE h SET id = -id WHERE id = 1;
SELECT same('id < 100');

DROP TABLE t, h;
SET client_min_messages = warning;
DROP SCHEMA index_test CASCADE;
