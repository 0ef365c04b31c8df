-- COPY FROM into segments: every result, message and count is compared with a heap twin's.
SET timezone = 'UTC';
SET client_min_messages = warning;
CREATE SCHEMA bulk_copy_test;
SET search_path = bulk_copy_test, public;
RESET client_min_messages;
SELECT current_setting('data_directory') || '/tsext_bulk_copy_test' AS file \gset

CREATE TABLE twin (time timestamptz, host text, code int, small smallint, ok bool, v float8, r float4, n numeric, note text, tags jsonb, id uuid, day date) USING heap;
CREATE TABLE t (LIKE twin) USING tsext;

-- What a table holds that the other does not, and how its rows are kept.
CREATE FUNCTION difference(a regclass, b regclass) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE n bigint;
BEGIN
  EXECUTE format('SELECT count(*) FROM ((SELECT * FROM %1$s EXCEPT ALL SELECT * FROM %2$s) UNION ALL (SELECT * FROM %2$s EXCEPT ALL SELECT * FROM %1$s)) d', a, b) INTO n;
  RETURN n;
END $$;
CREATE FUNCTION cold_rows(relation regclass) RETURNS bigint LANGUAGE sql AS $$
  SELECT coalesce(sum(nrows), 0) FROM tsext.segment JOIN pg_class ON store = reltoastrelid WHERE pg_class.oid = relation;
$$;

CREATE VIEW source AS
SELECT timestamptz '2024-01-01' + i / 20 * interval '10 seconds' AS time, 'host_' || i % 20 AS host, i AS code,
       (i % 7)::smallint AS small, i % 3 = 0 AS ok, CASE WHEN i % 11 = 0 THEN NULL WHEN i % 13 = 0 THEN 'NaN' ELSE i / 10.0 END::float8 AS v,
       ((i % 100) / 3.0)::float4 AS r, CASE WHEN i % 17 > 0 THEN (i % 1000)::numeric / 8 END AS n,
       CASE i % 5 WHEN 0 THEN NULL WHEN 1 THEN '' WHEN 2 THEN 'a,"b"' WHEN 3 THEN E'tab\tline\n\\N' ELSE repeat('ä', i % 50) END AS note,
       CASE WHEN i % 4 = 0 THEN jsonb_build_object('k', i % 10) END AS tags, md5(i::text)::uuid AS id, date '2024-01-01' + i % 100 AS day
FROM generate_series(0, 19999) i;

-- Formats and options.
COPY (SELECT * FROM source) TO :'file';
COPY twin FROM :'file';
COPY t FROM :'file';
SELECT difference('t', 'twin'), cold_rows('t'), (SELECT count(*) FROM t);
TRUNCATE t, twin;
COPY (SELECT * FROM source) TO :'file' (FORMAT csv, HEADER, NULL 'nil', DELIMITER ';', QUOTE '''', ESCAPE '$');
COPY twin FROM :'file' (FORMAT csv, HEADER match, NULL 'nil', DELIMITER ';', QUOTE '''', ESCAPE '$');
COPY t FROM :'file' (FORMAT csv, HEADER match, NULL 'nil', DELIMITER ';', QUOTE '''', ESCAPE '$');
SELECT difference('t', 'twin'), cold_rows('t');
TRUNCATE t, twin;
COPY (SELECT * FROM source) TO :'file' BINARY;
COPY twin FROM :'file' BINARY;
COPY t FROM :'file' BINARY;
SELECT difference('t', 'twin'), cold_rows('t');
TRUNCATE t, twin;
COPY (SELECT host, time, note FROM source) TO :'file' (ENCODING 'latin1');
COPY twin (host, time, note) FROM :'file' (ENCODING 'latin1') WHERE host <> 'host_3' AND note IS NOT NULL;
COPY t (host, time, note) FROM :'file' (ENCODING 'latin1') WHERE host <> 'host_3' AND note IS NOT NULL;
SELECT difference('t', 'twin'), cold_rows('t');

-- Rows that make no segment go to the hot heap: few, or without a finite time.
TRUNCATE t, twin;
COPY (SELECT * FROM source LIMIT 100) TO :'file';
COPY twin FROM :'file';
COPY t FROM :'file';
SELECT difference('t', 'twin'), cold_rows('t');
COPY (SELECT CASE WHEN code % 100 = 0 THEN NULL WHEN code % 100 = 1 THEN 'infinity' WHEN code % 100 = 2 THEN '-infinity' ELSE time END, code FROM source) TO :'file';
COPY twin (time, code) FROM :'file';
COPY t (time, code) FROM :'file';
SELECT difference('t', 'twin'), cold_rows('t');

-- Little memory: several runs, the same rows.
TRUNCATE t, twin;
COPY (SELECT * FROM source) TO :'file';
COPY twin FROM :'file';
SET tsext.bulk_memory = '2MB';
COPY t FROM :'file';
RESET tsext.bulk_memory;
SELECT difference('t', 'twin'), cold_rows('t') > 10000 AS is_cold;

-- Constraints, defaults, generated columns, sequences, dropped and added columns.
CREATE DOMAIN positive AS int CHECK (value > 0);
CREATE TABLE c_twin (time timestamptz NOT NULL DEFAULT '2024-05-05', gone text, host text DEFAULT 'none', serial int GENERATED ALWAYS AS IDENTITY, p positive,
  v int CHECK (v < 1000), w int GENERATED ALWAYS AS (v * 2) STORED) USING heap;
CREATE TABLE c (LIKE c_twin INCLUDING ALL) USING tsext;
ALTER TABLE c_twin DROP COLUMN gone;
ALTER TABLE c DROP COLUMN gone;
ALTER TABLE c_twin ADD COLUMN later int DEFAULT 7;
ALTER TABLE c ADD COLUMN later int DEFAULT 7;
COPY (SELECT i % 999 AS v, 1 + i AS p FROM generate_series(0, 9999) i) TO :'file';
COPY c_twin (v, p) FROM :'file';
COPY c (v, p) FROM :'file';
SELECT difference('c', 'c_twin'), cold_rows('c');
-- The same message and line.
COPY (SELECT CASE WHEN i = 9000 THEN 1000 ELSE 1 END, 1 FROM generate_series(0, 9999) i) TO :'file';
COPY c_twin (v, p) FROM :'file';
COPY c (v, p) FROM :'file';
COPY (SELECT 1, CASE WHEN i = 9000 THEN -1 ELSE 1 END FROM generate_series(0, 9999) i) TO :'file';
COPY c_twin (v, p) FROM :'file';
COPY c (v, p) FROM :'file';
COPY (SELECT CASE WHEN i < 9999 THEN now() END FROM generate_series(0, 9999) i) TO :'file';
COPY c_twin (time) FROM :'file' WHERE true;
COPY c (time) FROM :'file' WHERE true;
COPY (SELECT CASE WHEN i < 9999 THEN i::text ELSE 'bad' END FROM generate_series(0, 9999) i) TO :'file';
COPY c_twin (later) FROM :'file';
COPY c (later) FROM :'file';
COPY c_twin (later, host) FROM :'file';
COPY c (later, host) FROM :'file';
COPY c_twin (w) FROM :'file';
COPY c (w) FROM :'file';
COPY c_twin (nothing) FROM :'file';
COPY c (nothing) FROM :'file';
COPY c_twin (v, v) FROM :'file';
COPY c (v, v) FROM :'file';
COPY c_twin (v) FROM :'file' WHERE w > 1;
COPY c (v) FROM :'file' WHERE w > 1;
\set VERBOSITY sqlstate
COPY c_twin FROM :'file' (FORMAT nothing);
COPY c FROM :'file' (FORMAT nothing);
\set VERBOSITY default
COPY c FROM '/nowhere/nothing';
-- Nothing of the failed ones is visible.
SELECT difference('c', 'c_twin') > 0 AS identity_moved, (SELECT count(*) FROM c), cold_rows('c');

-- Savepoints and errors that are caught.
TRUNCATE t, twin;
COPY (SELECT * FROM source) TO :'file';
BEGIN;
COPY t FROM :'file';
SAVEPOINT s;
COPY t FROM :'file';
SELECT count(*) FROM t;
ROLLBACK TO s;
SELECT count(*) FROM t;
COMMIT;
COPY twin FROM :'file';
SELECT difference('t', 'twin'), cold_rows('t');
BEGIN;
COPY t FROM :'file';
ROLLBACK;
SELECT difference('t', 'twin'), cold_rows('t');
-- A cursor sees what was there when it was opened.
BEGIN;
DECLARE k CURSOR FOR SELECT count(*) FROM t;
COPY t FROM :'file';
FETCH k;
COMMIT;
SELECT count(*) FROM t;

-- Indexes: hot rows get their entries, cold rows need none.
CREATE TABLE i (time timestamptz, host text, v int) USING tsext;
CREATE INDEX i_host ON i (host);
CREATE INDEX i_v ON i (v) WHERE v % 2 = 0;
COPY (SELECT time, host, code FROM source) TO :'file';
COPY i FROM :'file';
SELECT cold_rows('i');
COPY (SELECT time, 'new', code FROM source LIMIT 1500) TO :'file';
COPY i FROM :'file';
SELECT cold_rows('i'), pg_relation_size('i_host') > 0 AS has_entries;
SELECT count(*), sum(v) FROM i WHERE host = 'new';
SELECT count(*) FROM i WHERE host = 'host_7';

-- What keeps the heap path: row triggers, unique indexes, foreign keys, FREEZE, the setting.
CREATE FUNCTION note_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.host := upper(NEW.host); RETURN NEW; END $$;
CREATE TABLE row_trigger (time timestamptz, host text, v int) USING tsext;
CREATE TRIGGER note BEFORE INSERT ON row_trigger FOR EACH ROW EXECUTE FUNCTION note_row();
CREATE TABLE keyed (time timestamptz PRIMARY KEY) USING tsext;
CREATE TABLE hosts (host text PRIMARY KEY) USING heap;
INSERT INTO hosts SELECT 'host_' || i FROM generate_series(0, 19) i;
CREATE TABLE referencing (time timestamptz, host text REFERENCES hosts, v int) USING tsext;
COPY (SELECT time, host, code FROM source) TO :'file';
COPY row_trigger FROM :'file';
COPY referencing FROM :'file';
COPY (SELECT time + code * interval '1 us' FROM source) TO :'file';
COPY keyed FROM :'file';
COPY keyed FROM :'file';
COPY (SELECT time, 'nobody', code FROM source) TO :'file';
COPY referencing FROM :'file';
SELECT cold_rows('row_trigger'), cold_rows('referencing'), cold_rows('keyed');
SELECT count(*) FILTER (WHERE host LIKE 'HOST%') FROM row_trigger;
COPY (SELECT * FROM source) TO :'file';
BEGIN;
CREATE TABLE frozen (LIKE twin) USING tsext;
COPY frozen FROM :'file' (FREEZE);
COMMIT;
CREATE TABLE off (LIKE twin) USING tsext;
SET tsext.enable_bulk = off;
COPY off FROM :'file';
RESET tsext.enable_bulk;
SELECT cold_rows('frozen'), cold_rows('off'), difference('frozen', 'twin'), difference('off', 'twin');

-- Statement triggers fire once, after the rows are there; transition tables are filled.
CREATE TABLE log (what text) USING heap;
CREATE FUNCTION note_statement() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO bulk_copy_test.log SELECT TG_WHEN || ' ' || count(*) FROM bulk_copy_test.noted; RETURN NULL; END $$;
CREATE TABLE noted (LIKE twin) USING tsext;
CREATE TRIGGER b BEFORE INSERT ON noted EXECUTE FUNCTION note_statement();
CREATE TRIGGER a AFTER INSERT ON noted EXECUTE FUNCTION note_statement();
COPY noted FROM :'file';
SELECT * FROM log ORDER BY 1;
SELECT cold_rows('noted');
DROP TRIGGER a ON noted;
DROP TRIGGER b ON noted;
CREATE FUNCTION note_transition() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO bulk_copy_test.log SELECT 'transition ' || count(*) FROM fresh; RETURN NULL; END $$;
CREATE TRIGGER n AFTER INSERT ON noted REFERENCING NEW TABLE AS fresh EXECUTE FUNCTION note_transition();
COPY noted FROM :'file';
SELECT * FROM log ORDER BY 1;

-- Expressions that read the table see the rows before.
CREATE TABLE counted (time timestamptz, n bigint) USING tsext;
CREATE FUNCTION rows_so_far() RETURNS bigint LANGUAGE sql VOLATILE AS 'SELECT count(*) FROM bulk_copy_test.counted';
ALTER TABLE counted ALTER n SET DEFAULT rows_so_far();
COPY (SELECT time FROM source LIMIT 300) TO :'file';
COPY counted (time) FROM :'file';
SELECT min(n), max(n) FROM counted;
ALTER TABLE counted ALTER n DROP DEFAULT;
\set VERBOSITY terse
COPY counted (time) FROM :'file' WHERE rows_so_far() < 500;
\set VERBOSITY default
SELECT count(*) FROM counted;

-- Privileges, row security, read-only transactions.
CREATE ROLE bulk_copy_role;
GRANT USAGE ON SCHEMA bulk_copy_test TO bulk_copy_role;
GRANT INSERT (time) ON t TO bulk_copy_role;
SET ROLE bulk_copy_role;
COPY t (time) FROM STDIN;
2024-01-01
\.
COPY t (time, host) FROM STDIN;
\.
\set VERBOSITY terse
COPY t (time) FROM :'file';
\set VERBOSITY default
COPY t (time) FROM PROGRAM 'true';
RESET ROLE;
ALTER TABLE t ENABLE ROW LEVEL SECURITY;
SET ROLE bulk_copy_role;
COPY t (time) FROM STDIN;
\.
RESET ROLE;
ALTER TABLE t DISABLE ROW LEVEL SECURITY;
BEGIN READ ONLY;
COPY t (time) FROM STDIN;
\.
ROLLBACK;
DROP OWNED BY bulk_copy_role;
DROP ROLE bulk_copy_role;

-- A partition as the target; a partitioned table and a view through core.
CREATE TABLE parted (time timestamptz, v int) PARTITION BY RANGE (time);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM ('2024-01-01') TO ('2024-01-02') USING tsext;
COPY (SELECT time, code FROM source WHERE time < '2024-01-01 02:00') TO :'file';
COPY parted_1 FROM :'file';
COPY parted FROM :'file';
COPY (SELECT time + interval '2 days', code FROM source) TO :'file';
COPY parted_1 FROM :'file';
COPY parted FROM :'file';
SELECT cold_rows('parted_1'), (SELECT count(*) FROM parted);

-- No time column; one column; all NULL; very wide rows.
CREATE TABLE untimed_twin (a text, b int) USING heap;
CREATE TABLE untimed (a text, b int) USING tsext;
COPY (SELECT CASE WHEN i % 2 = 0 THEN 'x' || i END, NULL FROM generate_series(1, 70000) i) TO :'file';
COPY untimed_twin FROM :'file';
COPY untimed FROM :'file';
SELECT difference('untimed', 'untimed_twin'), cold_rows('untimed');
CREATE TABLE wide_twin (time timestamptz, body text) USING heap;
CREATE TABLE wide (time timestamptz, body text) USING tsext;
COPY (SELECT time, repeat(md5(code::text), 300) FROM source LIMIT 5000) TO :'file';
COPY wide_twin FROM :'file';
COPY wide FROM :'file';
SELECT difference('wide', 'wide_twin'), cold_rows('wide');

SELECT format('rm %L', :'file') AS remove \gset
COPY (SELECT) TO PROGRAM :'remove';
SET client_min_messages = warning;
DROP SCHEMA bulk_copy_test CASCADE;
