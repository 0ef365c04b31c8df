-- TsextLast: DISTINCT ON (tags) … ORDER BY tags, time against a heap twin, with the node on and off.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS tsext;
SET timezone = 'UTC';
SET datestyle = 'ISO';

-- No two rows of a series share a time, whatever makes the series.
CREATE TABLE last_heap (time timestamptz, host text, region text, rack int, kind smallint, id uuid, v float8, n int, note text);
INSERT INTO last_heap
SELECT '2024-01-01'::timestamptz + g * interval '10 s', nullif('host_' || g % 13, 'host_5'), 'region ' || g % 13 % 3, nullif(g % 13 / 2, 4),
  g % 13 % 4, md5((g % 13)::text)::uuid, sin(g) * 100, nullif(g % 10, 3), CASE WHEN g % 11 = 0 THEN 'note ' || g END
FROM generate_series(0, 12959) g;
-- a series that ended early, one that came late
DELETE FROM last_heap WHERE host = 'host_2' AND time > '2024-01-01 10:00' OR host = 'host_3' AND time < '2024-01-02 07:00';

CREATE TABLE last_tags (LIKE last_heap) USING tsext WITH (tsext.chunk_interval = '12 hours', tsext.segment_by = 'host');
CREATE TABLE last_two (LIKE last_heap) USING tsext WITH (tsext.chunk_interval = '12 hours', tsext.segment_by = 'region,host');
CREATE TABLE last_rack (LIKE last_heap) USING tsext WITH (tsext.chunk_interval = '7 days', tsext.segment_by = 'rack');
CREATE TABLE last_none (LIKE last_heap) USING tsext WITH (tsext.chunk_interval = '12 hours', tsext.segment_by = '');
CREATE TABLE last_hot (LIKE last_heap) USING tsext;
INSERT INTO last_tags SELECT * FROM last_heap;
INSERT INTO last_two SELECT * FROM last_heap;
INSERT INTO last_rack SELECT * FROM last_heap;
INSERT INTO last_none SELECT * FROM last_heap;
SET tsext.enable_bulk = off;
INSERT INTO last_hot SELECT * FROM last_heap;
RESET tsext.enable_bulk;
SELECT c.relname, count(*) > 1 AS cold, sum(nrows) AS rows FROM tsext.segment s JOIN pg_class c ON c.reltoastrelid = s.store WHERE relname LIKE 'last%' GROUP BY 1 ORDER BY 1;

-- Runs a query on the heap and on each table with the node, made certain by making scans dear, and on some without it.
-- The number of rows when all agree, and in how many plans the node can be. The order counts.
CREATE FUNCTION agree(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  expected text;
  answer text;
  name text;
  mode text;
  plan json;
  with_node int := 0;
BEGIN
  EXECUTE format('SELECT coalesce(string_agg(q::text, E''\n''), ''none'') FROM (%s) q', replace(query, 'TABLE', 'last_heap')) INTO expected;
  FOREACH name IN ARRAY ARRAY['last_tags', 'last_two', 'last_rack', 'last_none', 'last_hot'] LOOP
    FOREACH mode IN ARRAY ARRAY['forced', 'off'] LOOP
      CONTINUE WHEN mode = 'off' AND name NOT IN ('last_tags', 'last_hot');
      PERFORM set_config('tsext.enable_last', CASE mode WHEN 'off' THEN 'off' ELSE 'on' END, true),
        set_config('tsext.enable_scan', CASE mode WHEN 'forced' THEN 'off' ELSE 'on' END, true),
        set_config('enable_seqscan', CASE mode WHEN 'forced' THEN 'off' ELSE 'on' END, true);
      EXECUTE format('SELECT coalesce(string_agg(q::text, E''\n''), ''none'') FROM (%s) q', replace(query, 'TABLE', name)) INTO answer;
      IF answer IS DISTINCT FROM expected THEN
        RETURN format('%s, node %s: %s instead of %s', name, mode, left(answer, 300), left(expected, 300));
      END IF;
      IF mode = 'forced' THEN
        EXECUTE 'EXPLAIN (FORMAT json) ' || replace(query, 'TABLE', name) INTO plan;
        with_node := with_node + (plan::text LIKE '%"TsextLast"%')::int;
      END IF;
    END LOOP;
  END LOOP;
  RETURN CASE WHEN expected = 'none' THEN 0 ELSE length(expected) - length(replace(expected, E'\n', '')) + 1 END
    || CASE with_node WHEN 5 THEN ' rows' WHEN 0 THEN ' rows without the node' ELSE ' rows, node in ' || with_node END;
END $$;

-- Everything twice: with cold rows (and last_hot), then with hot ones beside them.
CREATE PROCEDURE check_all() LANGUAGE plpgsql AS $$
DECLARE
  query text;
  answer text;
BEGIN
  FOREACH query IN ARRAY ARRAY[
    'SELECT DISTINCT ON (host) * FROM TABLE ORDER BY host, time DESC',
    'SELECT DISTINCT ON (host) * FROM TABLE ORDER BY host, time',
    'SELECT DISTINCT ON (host) host, time, v FROM TABLE ORDER BY host DESC, time DESC',
    'SELECT DISTINCT ON (host) host, time, v FROM TABLE ORDER BY host NULLS FIRST, time DESC NULLS LAST',
    'SELECT DISTINCT ON (host) host, time, v FROM TABLE ORDER BY host NULLS FIRST, time ASC NULLS FIRST',
    'SELECT DISTINCT ON (region) region, time, note, n + 1, upper(host) FROM TABLE ORDER BY region, time DESC',
    'SELECT DISTINCT ON (rack) rack, host, time FROM TABLE ORDER BY rack, time DESC',
    'SELECT DISTINCT ON (rack) rack, host, time FROM TABLE ORDER BY rack, time',
    'SELECT DISTINCT ON (kind) * FROM TABLE ORDER BY kind, time DESC',
    'SELECT DISTINCT ON (id) * FROM TABLE ORDER BY id, time DESC',
    'SELECT DISTINCT ON (host, region) * FROM TABLE ORDER BY region, host, time DESC',
    'SELECT DISTINCT ON (host, rack, kind) * FROM TABLE ORDER BY 2, 4, 5, time',
    'SELECT DISTINCT ON (n) n, time FROM TABLE ORDER BY n, time DESC',
    'SELECT DISTINCT ON (note) note, time FROM TABLE ORDER BY note, time DESC',
    'SELECT DISTINCT ON (host) t FROM TABLE t ORDER BY host, time DESC',
    'SELECT DISTINCT ON (host) tableoid = ''TABLE''::regclass, host, time FROM TABLE ORDER BY host, time DESC',
    'SELECT DISTINCT ON (host) 1 FROM TABLE ORDER BY host, time DESC',
    -- conditions on tags, values and time
    'SELECT DISTINCT ON (host) * FROM TABLE WHERE host IN (''host_1'', ''host_2'', ''nobody'') ORDER BY host, time DESC',
    'SELECT DISTINCT ON (host) * FROM TABLE WHERE host LIKE ''host_1%'' AND v > 50 ORDER BY host, time DESC',
    'SELECT DISTINCT ON (host) * FROM TABLE WHERE host IS NULL ORDER BY host, time DESC',
    'SELECT DISTINCT ON (host) * FROM TABLE WHERE region = ''region 1'' ORDER BY host, time DESC',
    'SELECT DISTINCT ON (host) * FROM TABLE WHERE region = ''region 1'' OR rack = 2 ORDER BY host, time',
    'SELECT DISTINCT ON (host) * FROM TABLE WHERE n = 7 AND note IS NOT NULL ORDER BY host, time DESC',
    'SELECT DISTINCT ON (region) * FROM TABLE WHERE v < -99.9 ORDER BY region, time DESC',
    'SELECT DISTINCT ON (region) * FROM TABLE WHERE host = ''host_2'' ORDER BY region, time DESC',
    'SELECT DISTINCT ON (host) * FROM TABLE WHERE time < ''2024-01-02 05:00'' ORDER BY host, time DESC',
    'SELECT DISTINCT ON (host) * FROM TABLE WHERE time >= ''2024-01-02 05:00'' AND time <= ''2024-01-02 05:30'' ORDER BY host, time DESC',
    'SELECT DISTINCT ON (host) * FROM TABLE WHERE time >= ''2024-01-02 05:00'' AND time < ''2024-01-02 05:01'' ORDER BY host, time',
    'SELECT DISTINCT ON (rack) * FROM TABLE WHERE time BETWEEN ''2024-01-01 18:00'' AND ''2024-01-02 06:00'' AND n IS NULL ORDER BY rack, time DESC',
    'SELECT DISTINCT ON (host) * FROM TABLE WHERE time > ''2025-01-01'' ORDER BY host, time DESC',
    'SELECT DISTINCT ON (host) * FROM TABLE WHERE time = NULL ORDER BY host, time DESC',
    'SELECT DISTINCT ON (host) * FROM TABLE WHERE time = ''2024-01-02 05:00'' ORDER BY host, time DESC',
    'SELECT DISTINCT ON (host) * FROM TABLE WHERE extract(minute FROM time) = 7 ORDER BY host, time DESC',
    'SELECT DISTINCT ON (host) host, time FROM TABLE WHERE (SELECT count(*) FROM generate_series(1, n)) = 4 ORDER BY host, time DESC',
    'SELECT DISTINCT ON (host) * FROM TABLE WHERE host = ''host_1'' ORDER BY host, time DESC',
    'SELECT DISTINCT ON (host) * FROM TABLE WHERE false ORDER BY host, time DESC',
    'SELECT DISTINCT ON (host) * FROM TABLE WHERE (SELECT false) ORDER BY host, time DESC',
    -- where it stands in a statement
    'SELECT DISTINCT ON (host) * FROM TABLE ORDER BY host, time DESC LIMIT 3 OFFSET 1',
    'SELECT * FROM (SELECT DISTINCT ON (host) * FROM TABLE ORDER BY host, time DESC) l WHERE v > 0 ORDER BY time DESC',
    'WITH l AS MATERIALIZED (SELECT DISTINCT ON (host) host, time FROM TABLE ORDER BY host, time DESC) SELECT a.*, b.time FROM l a JOIN l b USING (host) ORDER BY 1',
    'SELECT x, l.* FROM generate_series(1, 5) x, LATERAL (SELECT DISTINCT ON (host) host, time, v FROM TABLE WHERE rack >= x AND time < ''2024-01-01''::timestamptz + x * interval ''7 hours'' ORDER BY host, time DESC) l ORDER BY 1, 2',
    'SELECT x, (SELECT count(*) FROM (SELECT DISTINCT ON (rack) * FROM TABLE WHERE n = x ORDER BY rack, time DESC) l WHERE v > 0) FROM generate_series(1, 4) x ORDER BY 1',
    'SELECT DISTINCT ON (h) h, t FROM (SELECT host AS h, time AS t, v FROM TABLE WHERE v > 0) s ORDER BY h, t DESC',
    '(SELECT DISTINCT ON (host) host, time FROM TABLE ORDER BY host, time DESC) UNION ALL (SELECT DISTINCT ON (rack) rack::text, time FROM TABLE ORDER BY rack, time) ORDER BY 1, 2',
    -- none for the node
    'SELECT DISTINCT ON (host) host, time, n FROM TABLE WHERE n IS NOT NULL ORDER BY host, time DESC, n',
    'SELECT DISTINCT ON (host) host, n FROM TABLE ORDER BY host, n, time',
    'SELECT DISTINCT ON (v) v, time FROM TABLE WHERE n = 1 AND rack = 1 ORDER BY v, time DESC',
    'SELECT DISTINCT ON (upper(host)) host, time FROM TABLE ORDER BY upper(host), time DESC',
    'SELECT DISTINCT ON (host) host, max(time) FROM TABLE GROUP BY host, rack ORDER BY host, max(time) DESC',
    'SELECT DISTINCT ON (host) host, row_number() OVER (ORDER BY time, host) FROM TABLE ORDER BY host, time DESC',
    'SELECT DISTINCT ON (host) host, time FROM TABLE WHERE random() < 2 ORDER BY host, time DESC',
    'SELECT DISTINCT ON (a.host) a.host, a.time FROM TABLE a JOIN TABLE b USING (host, time) ORDER BY a.host, a.time DESC'] LOOP
    answer := agree(query);
    RAISE NOTICE '%: %', query, answer;
  END LOOP;
END $$;
SET client_min_messages = notice;
CALL check_all();

-- Hot rows: newer, older, of new series, without a time, at infinity.
CREATE PROCEDURE add_rows() LANGUAGE plpgsql AS $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['last_heap', 'last_tags', 'last_two', 'last_rack', 'last_none', 'last_hot'] LOOP
    EXECUTE format($q$INSERT INTO %I VALUES
      ('2024-03-01', 'host_1', 'region 1', 0, 1, NULL, 1, 1, 'hot'), ('2023-03-01', 'host_4', 'region 1', 2, 0, NULL, 2, 2, 'old'),
      ('2024-01-02 00:00:05', 'new', 'new', 99, 9, NULL, NULL, NULL, NULL), (NULL, 'host_6', 'region 0', 3, 2, NULL, 3, 3, 'timeless'),
      ('infinity', 'host_7', 'region 1', 3, 3, NULL, 4, 7, 'note for ever'), ('-infinity', 'host_8', 'region 2', 77, 0, NULL, 4, 4, 'since ever'),
      (NULL, 'nowhen', '', 98, 98, md5('')::uuid, 4, 4, NULL)$q$, name);
    EXECUTE format('UPDATE %I SET note = ''changed'' WHERE note = ''hot''', name);
    EXECUTE format('DELETE FROM %I WHERE note = ''old''', name);
  END LOOP;
END $$;
CALL add_rows();
CALL check_all();

-- A column added later is a tag too; one of the sort key goes.
SET client_min_messages = warning;
DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['last_heap', 'last_tags', 'last_two', 'last_rack', 'last_none', 'last_hot'] LOOP
    EXECUTE format('ALTER TABLE %I ADD COLUMN site text DEFAULT ''here''', name);
    EXECUTE format('INSERT INTO %I (time, host, region, site) VALUES (''2024-04-01'', ''host_1'', ''region 1'', ''there''), (''2024-04-02'', ''host_1'', ''region 1'', NULL)', name);
  END LOOP;
END $$;
SELECT agree('SELECT DISTINCT ON (site) * FROM TABLE WHERE time < ''2025-01-01'' ORDER BY site, time DESC');
SELECT agree('SELECT DISTINCT ON (site, host) * FROM TABLE ORDER BY site, host, time DESC');
DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['last_heap', 'last_tags', 'last_two', 'last_rack', 'last_none', 'last_hot'] LOOP
    EXECUTE format('ALTER TABLE %I DROP COLUMN region', name);
  END LOOP;
END $$;
SELECT agree('SELECT DISTINCT ON (host) * FROM TABLE ORDER BY host, time DESC');
SELECT agree('SELECT DISTINCT ON (rack) * FROM TABLE WHERE host < ''host_3'' ORDER BY rack, time DESC');

-- More series than memory: several passes.
CREATE TABLE last_many_heap AS SELECT '2024-01-01'::timestamptz + g * interval '1 s' AS time, md5((g % 9000)::text) AS tag, g AS v FROM generate_series(1, 36000) g;
CREATE TABLE last_many (LIKE last_many_heap) USING tsext WITH (tsext.segment_by = 'tag');
INSERT INTO last_many SELECT * FROM last_many_heap WHERE v < 30000;
INSERT INTO last_many SELECT * FROM last_many_heap WHERE v >= 30000;
ANALYZE last_many;
CREATE FUNCTION count_differences() RETURNS bigint LANGUAGE sql AS $$
  WITH a AS MATERIALIZED (SELECT DISTINCT ON (tag) * FROM last_many ORDER BY tag, time DESC), b AS MATERIALIZED (SELECT DISTINCT ON (tag) * FROM last_many_heap ORDER BY tag, time DESC)
  SELECT count(*) + 9000 - (SELECT count(*) FROM a) FROM a FULL JOIN b USING (tag, time, v) WHERE a IS NULL OR b IS NULL
$$;
SELECT count_differences();
SET work_mem = '64kB';
SET hash_mem_multiplier = 1;
SELECT count_differences();
CREATE FUNCTION passes(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  line text;
BEGIN
  FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off) ' || query LOOP
    IF line LIKE '%Passes%' THEN RETURN 'several'; END IF;
  END LOOP;
  RETURN 'one';
END $$;
SELECT passes('SELECT DISTINCT ON (tag) tag FROM last_many ORDER BY tag, time DESC');
RESET work_mem;
RESET hash_mem_multiplier;
SELECT passes('SELECT DISTINCT ON (tag) tag FROM last_many ORDER BY tag, time DESC');

-- Prepared statements with parameters, cursors, rows of a view with a barrier, row security.
PREPARE newest(timestamptz, text) AS SELECT DISTINCT ON (host) host, time, rack FROM last_tags WHERE time < $1 AND host <> $2 ORDER BY host, time DESC LIMIT 3;
SET plan_cache_mode = force_generic_plan;
EXECUTE newest('2024-01-02', 'host_1');
EXECUTE newest('2024-01-03', 'host_0');
EXECUTE newest(NULL, 'host_0');
RESET plan_cache_mode;
BEGIN;
DECLARE back SCROLL CURSOR FOR SELECT DISTINCT ON (rack) rack, time FROM last_tags WHERE rack < 3 ORDER BY rack, time DESC;
FETCH 2 FROM back;
FETCH BACKWARD 1 FROM back;
FETCH ALL FROM back;
COMMIT;
-- A function of the user's never sees a row that a view or a policy hides.
CREATE FUNCTION peek(host text, rack int) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS $$
BEGIN
  IF rack = 3 THEN RETURN host < 'host_7'; END IF;
  RAISE EXCEPTION 'saw host % of rack %', host, rack;
END $$;
CREATE FUNCTION peek(host text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS $$
BEGIN
  IF host IN ('host_6', 'host_7') THEN RETURN true; END IF;
  RAISE EXCEPTION 'saw host %', host;
END $$;
CREATE VIEW last_view WITH (security_barrier) AS SELECT * FROM last_tags WHERE rack = 3;
CREATE ROLE last_reader;
GRANT SELECT ON last_tags TO last_reader;
ALTER TABLE last_tags ENABLE ROW LEVEL SECURITY;
CREATE POLICY racks ON last_tags USING (rack = 3);
SET tsext.enable_scan = off;
SET enable_seqscan = off;
SELECT DISTINCT ON (host) host, time FROM last_view WHERE peek(host, rack) ORDER BY host, time DESC;
SELECT DISTINCT ON (host) host, time FROM last_view WHERE peek(host) ORDER BY host, time DESC;
SET ROLE last_reader;
SELECT DISTINCT ON (host) host, time, rack FROM last_tags WHERE peek(host, rack) ORDER BY host, time DESC;
SELECT DISTINCT ON (host) host, time, rack FROM last_tags WHERE peek(host) ORDER BY host, time DESC;
RESET ROLE;
RESET tsext.enable_scan;
RESET enable_seqscan;
DROP OWNED BY last_reader;
DROP ROLE last_reader;
ALTER TABLE last_tags DISABLE ROW LEVEL SECURITY;

-- What EXPLAIN tells.
CREATE TABLE last_plain (time timestamptz NOT NULL, host text, v float8) USING tsext WITH (tsext.segment_by = 'host', tsext.chunk_interval = '1 day');
INSERT INTO last_plain SELECT '2024-01-01'::timestamptz + g / 10 * interval '30 s', 'host_' || g % 10, g FROM generate_series(0, 86399) g;
INSERT INTO last_plain VALUES ('2024-01-02 12:00:01', 'host_3', -1);
ANALYZE last_plain;
EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off) SELECT DISTINCT ON (host) * FROM last_plain WHERE v < 86390 ORDER BY host, time DESC;
EXPLAIN (COSTS off) SELECT DISTINCT ON (host) host, v FROM last_plain ORDER BY host DESC, time LIMIT 2;
SET tsext.enable_last = off;
CREATE FUNCTION has_node(query text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  plan json;
BEGIN
  EXECUTE 'EXPLAIN (FORMAT json) ' || query INTO plan;
  RETURN plan::text LIKE '%TsextLast%';
END $$;
SELECT has_node('SELECT DISTINCT ON (host) host, v FROM last_plain ORDER BY host DESC, time LIMIT 2');
RESET tsext.enable_last;

DROP VIEW last_view;
DROP TABLE last_heap, last_tags, last_two, last_rack, last_none, last_hot, last_many, last_many_heap, last_plain;
DROP FUNCTION agree, has_node, peek(text), peek(text, int), passes, count_differences;
DROP PROCEDURE check_all, add_rows;
