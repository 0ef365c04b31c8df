-- TRUNCATE, DROP, CLUSTER and VACUUM FULL of tables with compressed rows: committed, rolled back, in subtransactions, on new tables.
SET client_min_messages = warning;
CREATE SCHEMA truncate_drop;
SET search_path = truncate_drop, public;
RESET client_min_messages;
SET timezone = 'UTC';
SET tsext.enable_scan = off;

CREATE FUNCTION fill(relation regclass, from_id int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('INSERT INTO %s SELECT ''2024-01-01''::timestamptz + g * interval ''10 s'', g, ''cold'' FROM generate_series(%s, %s) g',
                 relation, from_id, from_id + 4999);
  EXECUTE format('INSERT INTO %s VALUES (''2025-01-01'', %s, ''hot'')', relation, from_id + 5000);
END $$;
-- Hot and cold rows, segments, and segments, totals and tombstones of stores that no table has.
CREATE FUNCTION state(relation regclass) RETURNS text LANGUAGE plpgsql AS $$
DECLARE result text; this oid;
BEGIN
  EXECUTE format('SELECT format(''%%s cold and %%s hot rows'', count(*) FILTER (WHERE s = ''cold''), count(*) FILTER (WHERE s = ''hot'')) FROM %s',
                 relation) INTO result;
  SELECT reltoastrelid INTO this FROM pg_class WHERE oid = relation;
  RETURN result || format(', %s segments, total %s', (SELECT count(*) FROM tsext.segment g WHERE g.store = this),
                          (SELECT coalesce(sum(rows), 0) FROM tsext.store_total g WHERE g.store = this));
END $$;
CREATE VIEW orphans AS
  SELECT 'segment' AS kind, store FROM tsext.segment WHERE store NOT IN (SELECT oid FROM pg_class WHERE relkind = 't')
  UNION ALL SELECT 'total', store FROM tsext.store_total WHERE store NOT IN (SELECT oid FROM pg_class WHERE relkind = 't');
-- Checks the heap, the TOAST table with the segments' pieces, and its index.
CREATE FUNCTION check_files(relation regclass) RETURNS text LANGUAGE plpgsql AS $$
DECLARE toast regclass = (SELECT reltoastrelid FROM pg_class WHERE oid = relation);
BEGIN
  PERFORM bt_index_check(indexrelid, true) FROM pg_index WHERE indrelid = toast;
  RETURN (SELECT count(*) || ' damages' FROM verify_heapam(toast));
END $$;
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS amcheck SCHEMA public;
RESET client_min_messages;

CREATE TABLE t (time timestamptz NOT NULL, id int, s text) USING tsext;
SELECT fill('t', 1);
SELECT state('t');

-- TRUNCATE.
BEGIN;
TRUNCATE t;
SELECT state('t');
SELECT fill('t', 100000);
SELECT state('t');
ROLLBACK;
SELECT state('t'), (SELECT sum(id) FROM t);
BEGIN;
SAVEPOINT s;
TRUNCATE t;
SELECT state('t');
ROLLBACK TO s;
SELECT state('t');
SAVEPOINT s;
SELECT fill('t', 10001);
SELECT state('t');
TRUNCATE t;
SELECT state('t');
SELECT fill('t', 20001);
ROLLBACK TO s;
SELECT state('t');
COMMIT;
SELECT state('t'), (SELECT sum(id) FROM t);
TRUNCATE t;
SELECT state('t');
SELECT fill('t', 1), fill('t', 10001);
SELECT state('t');
BEGIN;
CREATE TABLE young (time timestamptz NOT NULL, id int, s text) USING tsext;
SELECT fill('young', 1);
SELECT state('young');
TRUNCATE young;
SELECT state('young');
SELECT fill('young', 1);
SAVEPOINT s;
TRUNCATE young;
SELECT state('young');
ROLLBACK TO s;
SELECT state('young');
COMMIT;
SELECT state('young');

-- VACUUM FULL and CLUSTER keep hot and cold rows; the pieces move to another file.
SELECT sum(id), count(*) FROM t;
CREATE TEMP TABLE before AS SELECT seg, valueid, nrows FROM tsext.segment WHERE store = (SELECT reltoastrelid FROM pg_class WHERE oid = 't'::regclass);
SELECT pg_relation_filenode('t') AS file, pg_relation_filenode(reltoastrelid) AS toast_file FROM pg_class WHERE oid = 't'::regclass \gset
VACUUM FULL t;
SELECT pg_relation_filenode('t') <> :file AS moved, pg_relation_filenode(reltoastrelid) <> :toast_file AS toast_moved
FROM pg_class WHERE oid = 't'::regclass;
SELECT state('t'), (SELECT sum(id) FROM t), check_files('t');
(TABLE before EXCEPT SELECT seg, valueid, nrows FROM tsext.segment);
CREATE INDEX t_id ON t (id);
UPDATE t SET id = -id WHERE s = 'hot';
CLUSTER t USING t_id;
SELECT state('t'), (SELECT sum(id) FROM t), check_files('t');
SET enable_indexscan = off;
CLUSTER t USING t_id;
RESET enable_indexscan;
SELECT state('t'), (SELECT sum(id) FROM t), check_files('t');
SELECT array_agg(id ORDER BY ctid) FROM t WHERE s = 'hot';
-- An error in the middle of VACUUM FULL: nothing has changed.
CREATE FUNCTION fails(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
  IF current_setting('truncate_drop.fail', true) = 'on' THEN RAISE EXCEPTION 'no more'; END IF;
  RETURN $1;
END $$;
CREATE INDEX t_fails ON t (fails(id));
SET truncate_drop.fail = on;
VACUUM FULL t;
SELECT state('t'), (SELECT sum(id) FROM t), check_files('t');
RESET truncate_drop.fail;
DROP INDEX t_fails;
-- The TOAST table on its own.
SELECT reltoastrelid::regclass AS toast FROM pg_class WHERE oid = 't'::regclass \gset
VACUUM FULL :toast;
SELECT state('t'), (SELECT sum(id) FROM t), check_files('t');
VACUUM FREEZE t;
SELECT state('t'), (SELECT sum(id) FROM t), check_files('t');
SET allow_in_place_tablespaces = on;
CREATE TABLESPACE truncate_drop_space LOCATION '';
ALTER TABLE t SET TABLESPACE truncate_drop_space;
SELECT state('t'), (SELECT sum(id) FROM t), check_files('t');
SELECT toast.reltablespace <> 0 AS toast_moved FROM pg_class c JOIN pg_class toast ON toast.oid = c.reltoastrelid WHERE c.oid = 't'::regclass;
BEGIN;
ALTER TABLE t SET TABLESPACE pg_default;
ROLLBACK;
SELECT state('t'), (SELECT sum(id) FROM t), check_files('t');
ALTER TABLE t SET TABLESPACE pg_default;
DROP TABLESPACE truncate_drop_space;

-- Rewrites give the rows to a new store; the old one goes.
ALTER TABLE t ALTER COLUMN id TYPE bigint;
SELECT state('t'), (SELECT sum(id) FROM t), check_files('t');
BEGIN;
ALTER TABLE t ALTER COLUMN id TYPE numeric;
SELECT state('t'), (SELECT sum(id) FROM t);
ROLLBACK;
SELECT state('t'), (SELECT sum(id) FROM t);
TABLE orphans;
ALTER TABLE t SET UNLOGGED;
SELECT state('t'), (SELECT sum(id) FROM t);
ALTER TABLE t SET LOGGED;
SELECT split_part(state('t'), ',', 1), (SELECT sum(id) FROM t);
TABLE orphans;

-- DROP: rolled back, committed, of a schema, with the owner.
BEGIN;
DROP TABLE t;
TABLE orphans;
ROLLBACK;
SELECT split_part(state('t'), ',', 1), (SELECT sum(id) FROM t);
BEGIN;
SAVEPOINT s;
DROP TABLE t;
ROLLBACK TO s;
COMMIT;
SELECT split_part(state('t'), ',', 1), (SELECT sum(id) FROM t);
DROP TABLE t;
TABLE orphans;
CREATE MATERIALIZED VIEW mv USING tsext AS SELECT * FROM young;
SELECT state('mv');
SELECT fill('young', 10001);
REFRESH MATERIALIZED VIEW mv;
SELECT split_part(state('mv'), ',', 1);
DROP MATERIALIZED VIEW mv;
TABLE orphans;
SET client_min_messages = warning;
DROP SCHEMA truncate_drop CASCADE;
SELECT count(*) FROM tsext.segment WHERE store NOT IN (SELECT oid FROM pg_class);

-- DROP EXTENSION takes tables with rows.
CREATE DATABASE truncate_drop_db;
\set database :DBNAME
\c truncate_drop_db
SET client_min_messages = warning;
CREATE EXTENSION tsext;
CREATE TABLE t (time timestamptz NOT NULL, id int) USING tsext;
INSERT INTO t SELECT '2024-01-01'::timestamptz + g * interval '1 s', g FROM generate_series(1, 5000) g;
DROP EXTENSION tsext;
DROP EXTENSION tsext CASCADE;
SELECT to_regclass('t') IS NULL AS dropped;
\c :database
DROP DATABASE truncate_drop_db;
