-- Inserts (late, in bulk, twice), compaction, decompression and downsampling in any order: sums are those of a heap twin, one row
-- per series and bucket is left before the cutoff, and a second run finds nothing to do. By hand with other seeds and more steps:
-- CALL many('fixed', 0.7, 1000).
SET datestyle = iso;
SET timezone = UTC;
SET client_min_messages = warning;
CREATE TABLE fixed (time timestamptz NOT NULL, host text, v float8, total bigint, q numeric, note text, n bigint) USING tsext
  WITH (tsext.segment_by = 'host', tsext.chunk_interval = '6 hours');
CREATE TABLE automatic (LIKE fixed) USING tsext WITH (tsext.segment_by = 'host');
CREATE TABLE twin (LIKE fixed);

CREATE PROCEDURE insert_rows(t text) LANGUAGE plpgsql AS $$
DECLARE
  start timestamptz := timestamptz '2024-01-01' + (random() * 40)::int * interval '1 hour';
  spread int := CASE WHEN random() < 0.3 THEN 600 ELSE 30000 END;
  count int := CASE WHEN random() < 0.5 THEN 1 + (random() * 30)::int ELSE 4200 + (random() * 1000)::int END;
BEGIN
  PERFORM set_config('tsext.enable_bulk', (random() < 0.5)::text, false);
  CREATE TEMP TABLE rows AS SELECT start + (random() * spread)::int * interval '1 s' AS time, 'h' || (random() * 3)::int AS host,
    (random() * 64)::int / 4.0::float8 AS v, (random() * 1000)::bigint AS total, (random() * 10)::int * 60::numeric AS q,
    'n' || (random() * 3)::int AS note, NULL::bigint AS n FROM generate_series(1, count);
  EXECUTE format('INSERT INTO %I TABLE rows', t);
  INSERT INTO twin TABLE rows;
  DROP TABLE rows;
END $$;

CREATE PROCEDURE downsample_rows(t text) LANGUAGE plpgsql AS $$
DECLARE
  cutoff timestamptz := timestamptz '2024-01-01' + (random() * 180000)::int * interval '1 s';
  bucket interval := (ARRAY['1 min', '5 min', '17 min', '1 hour', '13 hours'])[1 + (random() * 4)::int]::interval;
  aggregates jsonb := '{"v": "avg", "total": "sum", "q": "avg"}';
  wrong bigint;
  again int;
BEGIN
  PERFORM tsext.downsample(t, cutoff, bucket, aggregates, 'n');
  cutoff := time_bucket(bucket, cutoff);
  EXECUTE format('SELECT count(*) FROM (SELECT FROM %I WHERE time < $1 GROUP BY host, time
    HAVING count(*) > 1 OR time <> time_bucket($2, time)) w', t) INTO wrong USING cutoff, bucket;
  IF wrong > 0 THEN RAISE '% buckets of % before % are not downsampled', wrong, bucket, cutoff; END IF;
  SELECT ranges INTO again FROM tsext.downsample(t, cutoff, bucket, aggregates, 'n');
  IF again > 0 THEN RAISE '% ranges were to be done a second time', again; END IF;
END $$;

CREATE PROCEDURE many(t text, seed float8, steps int) LANGUAGE plpgsql AS $$
DECLARE
  dice float8;
  is_same bool;
  problems bigint;
BEGIN
  PERFORM setseed(seed);
  EXECUTE format('TRUNCATE twin, %I', t);
  FOR i IN 1 .. steps LOOP
    dice := random();
    IF dice < 0.4 OR i = 1 THEN CALL insert_rows(t);
    ELSIF dice < 0.5 THEN PERFORM tsext.compact(t);
    ELSIF dice < 0.53 THEN PERFORM tsext.compact(t, level => 'cold');
    ELSIF dice < 0.56 THEN PERFORM decompress_chunk(c) FROM (SELECT c FROM show_chunks(t) c ORDER BY random() LIMIT 2) c;
    ELSE CALL downsample_rows(t);
    END IF;
    EXECUTE format('SELECT a.total = b.total AND a.n = b.n AND abs(a.v - b.v) < 1e-6 AND abs(a.q - b.q) < 1e-6
      FROM (SELECT sum(total) AS total, sum(coalesce(n, 1)) AS n, sum(v * coalesce(n, 1)) AS v, sum(q * coalesce(n, 1)) AS q FROM %I) a,
        (SELECT sum(total) AS total, count(*) AS n, sum(v) AS v, sum(q) AS q FROM twin) b', t) INTO STRICT is_same;
    IF is_same IS NOT TRUE THEN RAISE 'step %: sums differ', i; END IF;
    COMMIT;
  END LOOP;
  EXECUTE format('SELECT count(*) FROM tsext.verify(%L)', t) INTO problems;
  IF problems > 0 THEN RAISE 'the segments are damaged'; END IF;
END $$;

CALL many('fixed', 0.1, 50);
CALL many('automatic', 0.2, 50);
DROP PROCEDURE many, downsample_rows, insert_rows;
DROP TABLE fixed, automatic, twin;
