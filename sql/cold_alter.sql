-- What ALTER does to a table whose rows are cold, against a heap twin: every change is made to
-- both, then all rows are compared bit by bit. "kept" says that the segments were not rewritten.
SET timezone = 'UTC';
CREATE TYPE state AS ENUM ('on', 'off');
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN whole AS int;
CREATE TABLE alter_heap (
  time timestamp NOT NULL, id int NOT NULL, name varchar(20), code text, amount numeric(10, 2),
  state state, pair pair, pairs pair[], gone float8);
INSERT INTO alter_heap
SELECT '2024-05-01'::timestamp + g * interval '1 s', g, 'name ' || g % 10,
  CASE WHEN g % 3 > 0 THEN md5((g % 100)::text) END, g * 0.01, (enum_range(NULL::state))[g % 2 + 1],
  row(g, 'b' || g % 4)::pair, array[row(g, 'x')::pair, NULL], g
FROM generate_series(1, 5000) g;
CREATE TABLE alter_cold (LIKE alter_heap) USING tsext;
INSERT INTO alter_cold SELECT * FROM alter_heap;

CREATE FUNCTION segments_file() RETURNS oid LANGUAGE sql AS $$
  SELECT pg_relation_filenode(reltoastrelid) FROM pg_class WHERE relname = 'alter_cold' $$;
CREATE FUNCTION cold_rows() RETURNS bigint LANGUAGE sql AS $$
  SELECT coalesce(sum(nrows), 0) FROM tsext.segment
  WHERE store = (SELECT reltoastrelid FROM pg_class WHERE relname = 'alter_cold') $$;
-- Runs a statement with %s = each of the two tables and compares them.
CREATE FUNCTION on_both(statement text, OUT kept bool, OUT cold_rows bigint, OUT differences bigint)
LANGUAGE plpgsql AS $$
DECLARE
  file oid := segments_file();
BEGIN
  EXECUTE format(statement, 'alter_heap');
  EXECUTE format(statement, 'alter_cold');
  kept := file = segments_file();
  cold_rows := cold_rows();
  EXECUTE 'SELECT count(*) FROM (
    (SELECT record_send(h) FROM alter_heap h EXCEPT ALL SELECT record_send(c) FROM alter_cold c)
    UNION ALL
    (SELECT record_send(c) FROM alter_cold c EXCEPT ALL SELECT record_send(h) FROM alter_heap h)) d'
  INTO differences;
END $$;
SELECT * FROM on_both('ANALYZE %s');

-- Columns that segments do not have yet.
SELECT * FROM on_both('ALTER TABLE %s ADD COLUMN number int DEFAULT 42');
SELECT * FROM on_both('ALTER TABLE %s ADD COLUMN word text DEFAULT ''a default''');
SELECT * FROM on_both('ALTER TABLE %s ADD COLUMN nothing float8');
SELECT * FROM on_both('INSERT INTO %s (time, id, number, word)
  SELECT ''2024-05-01''::timestamp + g * interval ''1 s'', g, g, NULL FROM generate_series(10001, 15000) g');
SELECT * FROM on_both('ALTER TABLE %s ALTER COLUMN number SET DEFAULT 43');
SELECT * FROM on_both('ALTER TABLE %s ALTER COLUMN word DROP DEFAULT');
SELECT number, word, count(*) FROM alter_cold WHERE id <= 5000 GROUP BY 1, 2;
SELECT * FROM on_both('INSERT INTO %s (time, id) VALUES (''2024-05-01 12:00'', 20001)');

-- Columns that segments have and the table no longer has.
SELECT * FROM on_both('ALTER TABLE %s DROP COLUMN gone');
SELECT * FROM on_both('ALTER TABLE %s ADD COLUMN gone text');
SELECT count(gone) FROM alter_cold;
SELECT * FROM on_both('ALTER TABLE %s RENAME COLUMN code TO hash');
SELECT count(*), count(hash), min(hash) FROM alter_cold;

-- Types with the same bytes: nothing is rewritten.
SELECT * FROM on_both('ALTER TABLE %s ALTER COLUMN name TYPE varchar(40)');
SELECT * FROM on_both('ALTER TABLE %s ALTER COLUMN name TYPE text');
SELECT * FROM on_both('ALTER TABLE %s ALTER COLUMN name TYPE text COLLATE "C"');
SELECT * FROM on_both('ALTER TABLE %s ALTER COLUMN amount TYPE numeric');
SELECT * FROM on_both('ALTER TABLE %s ALTER COLUMN id TYPE whole');
SELECT * FROM on_both('ALTER TABLE %s ALTER COLUMN time TYPE timestamptz');
SELECT min(time), max(time) FROM alter_cold WHERE id <= 5000;

-- Enum labels, attributes of composite types.
ALTER TYPE state RENAME VALUE 'off' TO 'idle';
ALTER TYPE state ADD VALUE 'broken';
SELECT state, count(*) FROM alter_cold GROUP BY 1 ORDER BY 1;
ALTER TYPE pair ADD ATTRIBUTE c float8;
SELECT * FROM on_both('ANALYZE %s');
SELECT id, pair, (pair).c, pairs FROM alter_cold WHERE id < 3 ORDER BY id;

-- Constraints look at cold rows.
ALTER TABLE alter_cold ALTER COLUMN hash SET NOT NULL;
ALTER TABLE alter_cold ADD CONSTRAINT few CHECK (id < 5000);
SELECT * FROM on_both('ALTER TABLE %s ADD CONSTRAINT many CHECK (id < 50000)');
SELECT * FROM on_both('ALTER TABLE %s ALTER COLUMN time SET NOT NULL');

-- Types with other bytes, volatile defaults: everything is rewritten, nothing is lost.
SELECT * FROM on_both('ALTER TABLE %s ALTER COLUMN id TYPE bigint');
SELECT * FROM on_both('ALTER TABLE %s ALTER COLUMN amount TYPE text');
ALTER TABLE alter_cold ADD COLUMN noise float8 DEFAULT random();
SELECT count(*), count(DISTINCT noise) > 9000 AS differ FROM alter_cold;
ALTER TABLE alter_cold DROP COLUMN noise;

-- A statement that fails or is rolled back leaves all as it was.
ALTER TABLE alter_cold ALTER COLUMN hash TYPE int USING 1 / (id - 4000);
BEGIN;
ALTER TABLE alter_cold ALTER COLUMN id TYPE int;
SELECT count(*) FROM alter_cold;
ROLLBACK;
SELECT * FROM on_both('ANALYZE %s');

-- The last column goes, the rows stay; a table without columns stays hot.
CREATE TABLE alter_none (a int) USING tsext;
INSERT INTO alter_none SELECT g FROM generate_series(1, 5000) g;
ALTER TABLE alter_none DROP COLUMN a;
SELECT count(*) FROM alter_none;
INSERT INTO alter_none SELECT FROM generate_series(1, 5000) g;
SELECT count(*) FROM alter_none;
ALTER TABLE alter_none ADD COLUMN b int DEFAULT 7;
SELECT count(*), sum(b) FROM alter_none;
ALTER TABLE alter_none SET ACCESS METHOD heap;
SELECT count(*), sum(b) FROM alter_none;
DROP TABLE alter_none;

DROP FUNCTION on_both, segments_file, cold_rows;
DROP TABLE alter_heap, alter_cold;
DROP TYPE state, pair;
DROP DOMAIN whole;

-- VACUUM FULL and CLUSTER end with the catalog forgetting what older rows have in added columns: segments take it along.
CREATE TABLE added (time timestamptz NOT NULL, id int) USING tsext;
INSERT INTO added SELECT timestamptz '2024-01-01 00:00+00' + g * interval '1 min', g FROM generate_series(1, 6000) g;
ALTER TABLE added ADD COLUMN label text DEFAULT 'old', ADD COLUMN empty int, ADD COLUMN gone float8 DEFAULT 1.5;
INSERT INTO added SELECT timestamptz '2024-02-01 00:00+00' + g * interval '1 min', g, 'new', g, g FROM generate_series(1, 6000) g;
INSERT INTO added VALUES ('2024-03-01 00:00+00', 1, 'hot', 3, 4);
ALTER TABLE added DROP COLUMN gone;
ALTER TABLE added ADD COLUMN flag bool DEFAULT true;
CREATE TEMP TABLE added_before AS SELECT * FROM added;
SELECT count(*) > 0 AS has_segments FROM tsext.segments WHERE table_name = 'added';
VACUUM FULL added;
SELECT label, flag, count(*), count(empty) FROM added GROUP BY 1, 2 ORDER BY 1, 2;
(TABLE added_before EXCEPT ALL TABLE added) UNION ALL (TABLE added EXCEPT ALL TABLE added_before);
ALTER TABLE added ADD COLUMN more numeric DEFAULT 2.50;
CREATE INDEX added_id ON added (id);
CLUSTER added USING added_id;
SELECT more, count(*) FROM added GROUP BY 1;
SELECT count(*) FROM tsext.verify('added');
DROP TABLE added;
