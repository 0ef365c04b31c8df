-- Hot rows behave as rows of a heap: every command runs on a tsext table and on its heap twin, and must give the same.
SET client_min_messages = warning;
CREATE SCHEMA hot_table;
CREATE SCHEMA hot_table_tsext;
CREATE SCHEMA hot_table_heap;
RESET client_min_messages;
SET search_path = hot_table;
SET timezone = 'UTC';
SET tsext.enable_bulk = off;

-- Rows (as text) or the error of a command, in one of the schemas.
CREATE FUNCTION run_in(schema_name text, command text) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
  r record;
  result text[] = '{}';
  rows_done bigint;
BEGIN
  PERFORM pg_catalog.set_config('search_path', schema_name || ', hot_table', true);
  PERFORM pg_catalog.set_config('default_table_access_method',
                                CASE schema_name WHEN 'hot_table_heap' THEN 'heap' ELSE 'tsext' END, true);
  BEGIN
    IF command ~* '^(select|with|values)|returning' THEN
      FOR r IN EXECUTE command LOOP result := result || r::text; END LOOP;
    ELSE
      EXECUTE command;
      GET DIAGNOSTICS rows_done = ROW_COUNT;
      result := ARRAY['done ' || rows_done];
    END IF;
  EXCEPTION WHEN OTHERS THEN
    result := ARRAY[sqlstate || ' ' || sqlerrm];
  END;
  RETURN result;
END $$;
-- Runs a command on both sides; shows what it gave, or how they differ.
CREATE FUNCTION twin(command text) RETURNS SETOF text LANGUAGE plpgsql SET search_path = hot_table AS $$
DECLARE
  ours text[] = hot_table.run_in('hot_table_tsext', command);
  heaps text[] = hot_table.run_in('hot_table_heap', command);
BEGIN
  PERFORM pg_catalog.set_config('search_path', 'hot_table', true);
  IF ours IS DISTINCT FROM heaps THEN
    RETURN NEXT 'DIFFERENT: ' || ours::text || ' <> ' || heaps::text;
  ELSE
    RETURN QUERY SELECT pg_catalog.unnest(ours);
  END IF;
END $$;

SELECT twin('CREATE TABLE m (id int, at timestamptz, v float8, note text)');
SELECT c.relname, a.amname FROM pg_class c JOIN pg_am a ON a.oid = c.relam WHERE c.relname = 'm' ORDER BY 2;

-- INSERT, RETURNING, system columns, whole rows.
SELECT twin($$INSERT INTO m SELECT g, '2024-01-01'::timestamptz + g * interval '1 minute', g / 4.0, repeat('n', g % 7)
              FROM generate_series(1, 500) g$$);
SELECT twin($$INSERT INTO m VALUES (501, NULL, NULL, NULL), (502, 'infinity', 'nan', '') RETURNING *, ctid, tableoid::regclass$$);
SELECT twin($$SELECT m, row_to_json(m), ctid, xmin <> '0', xmax FROM m WHERE id IN (1, 501) ORDER BY id$$);
SELECT twin($$SELECT count(*), count(note), sum(v) FILTER (WHERE id < 502) FROM m$$);
SELECT twin($$UPDATE m SET v = v + 1 WHERE id <= 3 RETURNING id, v, ctid$$);
SELECT twin($$DELETE FROM m WHERE id BETWEEN 4 AND 6 RETURNING m$$);
SELECT twin($$SELECT md5(string_agg(m::text, ',' ORDER BY id)) FROM m$$);

-- Tuple ids: heap's, and ids that only a compressed row can have.
SELECT twin($$SELECT id FROM m WHERE ctid IN ('(0,1)', '(0,7)', '(9999,1)', '(2147483649,1)')$$);
SELECT twin($$SELECT id FROM m WHERE ctid < '(0,11)' ORDER BY id$$);
SELECT twin($$UPDATE m SET v = 0 WHERE ctid = '(2147483649,1)'$$);
SELECT twin($$DELETE FROM m WHERE ctid = '(2147483649,1)'$$);
SELECT twin($$SELECT id FROM m WHERE ctid = '(2147483649,1)' FOR UPDATE$$);
SELECT twin($$SELECT currtid2('m', '(0,7)')$$);
SELECT currtid2('hot_table_tsext.m', '(2147483649,1)');

-- ON CONFLICT, unique keys, deferred ones, exclusion constraints.
SELECT twin('CREATE TABLE k (id int PRIMARY KEY, name text UNIQUE DEFERRABLE, n int, EXCLUDE (n WITH =))');
SELECT twin($$INSERT INTO k VALUES (1, 'a', 1), (2, 'b', 2)$$);
SELECT twin($$INSERT INTO k VALUES (1, 'c', 3)$$);
SELECT twin($$INSERT INTO k VALUES (3, 'c', 2)$$);
SELECT twin($$INSERT INTO k VALUES (1, 'z', 9), (4, 'd', 4) ON CONFLICT (id) DO UPDATE SET name = k.name || excluded.name RETURNING *$$);
SELECT twin($$INSERT INTO k VALUES (2, 'x', 9), (5, 'e', 5) ON CONFLICT (id) DO NOTHING RETURNING *$$);
SELECT twin($$INSERT INTO k VALUES (6, 'f', 6), (6, 'g', 7) ON CONFLICT (id) DO UPDATE SET n = 8$$);
SELECT twin($$UPDATE k SET name = CASE name WHEN 'b' THEN 'd' ELSE 'b' END WHERE name IN ('b', 'd') RETURNING *$$);
SELECT twin($$UPDATE k SET id = id + 1 WHERE id = 4$$);
SELECT twin($$MERGE INTO k USING (VALUES (1, 10), (7, 70)) s(id, n) ON k.id = s.id
              WHEN MATCHED THEN UPDATE SET n = s.n WHEN NOT MATCHED THEN INSERT VALUES (s.id, 's' || s.id, s.n)$$);
SELECT twin($$SELECT * FROM k ORDER BY id$$);

-- Row locks.
SELECT twin($$SELECT id FROM k WHERE id = 1 FOR UPDATE$$);
SELECT twin($$SELECT id FROM k ORDER BY id LIMIT 2 FOR NO KEY UPDATE SKIP LOCKED$$);
SELECT twin($$SELECT count(*) FROM (SELECT id FROM k FOR KEY SHARE NOWAIT) l$$);

-- Triggers with rows and transition tables.
SELECT twin('CREATE TABLE log (line text)');
SELECT twin($$CREATE FUNCTION each_row() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS 'BEGIN
  INSERT INTO log SELECT format(''%s %s %s %s'', tg_when, tg_op, old, new);
  IF tg_when = ''BEFORE'' AND tg_op <> ''DELETE'' THEN new.n := new.n + 100; END IF;
  RETURN coalesce(new, old);
END'$$);
SELECT twin($$CREATE FUNCTION statement() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS 'BEGIN
  INSERT INTO log SELECT format(''%s: %s rows, sum %s'', tg_op, count(*), sum(n)) FROM changed; RETURN NULL; END'$$);
SELECT twin('CREATE TABLE tr (id int, n int)');
SELECT twin('CREATE TRIGGER a BEFORE INSERT OR UPDATE OR DELETE ON tr FOR EACH ROW EXECUTE FUNCTION each_row()');
SELECT twin('CREATE TRIGGER b AFTER INSERT OR UPDATE OR DELETE ON tr FOR EACH ROW EXECUTE FUNCTION each_row()');
SELECT twin('CREATE CONSTRAINT TRIGGER c AFTER INSERT OR UPDATE ON tr DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION each_row()');
SELECT twin('CREATE TRIGGER d AFTER INSERT ON tr REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION statement()');
SELECT twin('CREATE TRIGGER e AFTER UPDATE ON tr REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION statement()');
SELECT twin('CREATE TRIGGER f AFTER DELETE ON tr REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION statement()');
SELECT twin('INSERT INTO tr VALUES (1, 1), (2, 2) RETURNING *');
SELECT twin('UPDATE tr SET n = n * 2 WHERE id = 2 RETURNING *');
SELECT twin('DELETE FROM tr WHERE id = 1 RETURNING *');
SELECT twin('SELECT line FROM log');

-- Foreign keys both ways.
SELECT twin('CREATE TABLE child (k int REFERENCES k (id) ON DELETE CASCADE ON UPDATE CASCADE)');
SELECT twin('INSERT INTO child VALUES (1), (2), (2)');
SELECT twin('INSERT INTO child VALUES (99)');
SELECT twin('UPDATE k SET id = 20 WHERE id = 2');
SELECT twin('DELETE FROM k WHERE id = 1');
SELECT twin('SELECT * FROM child');

-- Wide rows, many columns, generated columns, no columns.
SELECT twin($$CREATE TABLE wide (id int, big text, twice int GENERATED ALWAYS AS (id * 2) STORED)$$);
SELECT twin($$INSERT INTO wide SELECT g, string_agg(md5((g * 1000 + i)::text), '') FROM generate_series(1, 3) g, generate_series(1, 1000) i GROUP BY g$$);
SELECT twin($$SELECT id, length(big), md5(big), twice FROM wide ORDER BY id$$);
SELECT twin($$UPDATE wide SET id = id + 1$$);
SELECT twin($$SELECT id, md5(big), twice FROM wide ORDER BY id$$);
SELECT twin('CREATE TABLE nothing ()');
SELECT twin('INSERT INTO nothing DEFAULT VALUES');
SELECT twin('SELECT count(*) FROM nothing');

-- ALTER TABLE with and without a rewrite.
SELECT twin('ALTER TABLE m ADD COLUMN extra int DEFAULT 7');
SELECT twin('ALTER TABLE m ADD COLUMN random_extra text DEFAULT md5(random()::text)');
SELECT twin('ALTER TABLE m DROP COLUMN random_extra');
SELECT twin('ALTER TABLE m ALTER COLUMN v TYPE numeric USING v::numeric(12, 2)');
SELECT twin('ALTER TABLE m ADD CHECK (id > 0)');
SELECT twin('INSERT INTO m (id) VALUES (0)');
SELECT twin($$SELECT md5(string_agg(m::text, ',' ORDER BY id)) FROM m$$);
ALTER TABLE hot_table_tsext.m SET ACCESS METHOD heap;
ALTER TABLE hot_table_heap.m SET ACCESS METHOD tsext;
SELECT twin($$SELECT md5(string_agg(m::text, ',' ORDER BY id)) FROM m$$);
ALTER TABLE hot_table_tsext.m SET ACCESS METHOD tsext;
ALTER TABLE hot_table_heap.m SET ACCESS METHOD heap;
SELECT twin($$SELECT md5(string_agg(m::text, ',' ORDER BY id)) FROM m$$);

-- Partitions, inheritance, temporary and unlogged tables, materialised views.
SELECT twin('CREATE TABLE p (id int, v int) PARTITION BY RANGE (id)');
SELECT twin('CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10)');
SELECT twin('CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20)');
SELECT twin('INSERT INTO p SELECT g, g FROM generate_series(0, 19) g');
SELECT twin('UPDATE p SET id = id + 5 WHERE id IN (7, 8) RETURNING tableoid::regclass, *');
SELECT twin('SELECT tableoid::regclass, count(*), sum(id) FROM p GROUP BY 1 ORDER BY 1');
SELECT twin('CREATE INDEX p_id ON p (id)');
SELECT twin('SELECT * FROM p WHERE id = 12 ORDER BY v');
SELECT twin('CREATE UNLOGGED TABLE u AS SELECT * FROM p');
SELECT twin('ALTER TABLE u SET LOGGED');
SELECT twin('SELECT count(*), sum(v) FROM u');
SELECT twin('CREATE MATERIALIZED VIEW mv AS SELECT id % 3 AS g, count(*) FROM p GROUP BY 1');
SELECT twin('CREATE UNIQUE INDEX mv_g ON mv (g)');
SELECT twin('INSERT INTO p VALUES (3, 33)');
SELECT twin('REFRESH MATERIALIZED VIEW CONCURRENTLY mv');
SELECT twin('SELECT * FROM mv ORDER BY 1');
SELECT twin('REFRESH MATERIALIZED VIEW mv');
SELECT twin('SELECT * FROM mv ORDER BY 1');

-- Subtransactions, cursors, WITH HOLD, WHERE CURRENT OF, prepared transactions.
SET search_path = hot_table_tsext;
BEGIN;
INSERT INTO p VALUES (1, 1001);
SAVEPOINT s;
DELETE FROM p WHERE id < 10;
ROLLBACK TO s;
DECLARE c SCROLL CURSOR WITH HOLD FOR SELECT id FROM p2 ORDER BY id;
DECLARE d SCROLL CURSOR FOR SELECT id FROM p2;
FETCH 2 FROM d;
FETCH LAST FROM d;
FETCH BACKWARD 2 FROM d;
MOVE FORWARD ALL IN d;
FETCH PRIOR FROM d;
FETCH ABSOLUTE 3 FROM d;
DECLARE e CURSOR FOR SELECT id FROM p1 FOR UPDATE;
FETCH 1 FROM e;
UPDATE p1 SET v = -1 WHERE CURRENT OF e;
SELECT id, v FROM p1 WHERE v = -1;
COMMIT;
FETCH 2 FROM c;
CLOSE c;
SELECT count(*) FROM p;
BEGIN;
INSERT INTO p VALUES (2, 2002);
PREPARE TRANSACTION 'hot_table';
SELECT count(*) FROM p;
COMMIT PREPARED 'hot_table';
SELECT count(*) FROM p;

-- Temporary tables.
CREATE TEMP TABLE t (id int PRIMARY KEY, v text) USING tsext ON COMMIT DELETE ROWS;
BEGIN;
INSERT INTO t SELECT g, 'v' || g FROM generate_series(1, 10) g;
SAVEPOINT s;
TRUNCATE t;
SELECT count(*) FROM t;
ROLLBACK TO s;
SELECT count(*), max(v) FROM t WHERE id > 3;
COMMIT;
SELECT count(*) FROM t;
DROP TABLE t;

-- TABLESAMPLE, VACUUM, ANALYZE.
SELECT count(*) FROM m TABLESAMPLE bernoulli (100);
SELECT count(*) FROM m TABLESAMPLE system (100) REPEATABLE (1);
SELECT count(*) FROM m TABLESAMPLE bernoulli (0);
DELETE FROM m WHERE id > 100;
VACUUM (ANALYZE) m;
SELECT reltuples FROM pg_class WHERE oid = 'm'::regclass;
SELECT null_frac, n_distinct FROM pg_stats WHERE schemaname = 'hot_table_tsext' AND tablename = 'm' AND attname = 'id';
-- The file is truncated only when somebody asked.
CREATE FUNCTION pages() RETURNS text LANGUAGE sql AS $$
  SELECT CASE relpages WHEN 0 THEN 'empty' ELSE 'pages' END FROM pg_class WHERE oid = 'm'::regclass $$;
DELETE FROM m;
VACUUM m;
SELECT pages();
VACUUM (TRUNCATE) m;
SELECT pages();
INSERT INTO m (id) VALUES (1);
DELETE FROM m;
ALTER TABLE m SET (vacuum_truncate = on);
VACUUM m;
SELECT pages();

RESET search_path;
SET client_min_messages = warning;
DROP SCHEMA hot_table_tsext, hot_table_heap, hot_table CASCADE;
