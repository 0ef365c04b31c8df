-- Damaged bytes: an error that names table, chunk, segment and column, or the right answer; never
-- a wrong one. The bytes of a small segment are taken out of the TOAST relation, then put back with
-- one byte flipped, for every byte.
SET timezone = 'UTC';
SET allow_system_table_mods = on;
SET tsext.footer_cache_size = 0;
SET client_min_messages = warning;
CREATE TABLE damaged (time timestamptz NOT NULL, id int, v float8, s text) USING tsext;
INSERT INTO damaged
SELECT '2024-01-01 00:00Z'::timestamptz + g * interval '1 s', g % 8, g % 5 * 0.5,
       (array['red', 'green', NULL, 'blue'])[g % 4 + 1]
FROM generate_series(1, 4200) g;
SELECT reltoastrelid::regclass AS toast, reltoastrelid::oid AS store FROM pg_class
WHERE oid = 'damaged'::regclass \gset
SELECT count(*) AS segments, sum(npieces) AS pieces, sum(nrows) AS nrows FROM tsext.segment
WHERE store = :store;
-- An id of its own keeps the messages apart from what other tests do.
UPDATE tsext.segment SET seg = 4711 WHERE store = :store;
CREATE TABLE truth AS SELECT * FROM damaged;

-- A TOAST relation can be changed while it looks like a table.
UPDATE pg_class SET relkind = 'r' WHERE oid = :store;
CREATE TABLE saved AS SELECT * FROM :toast;
DELETE FROM :toast;
VACUUM :toast;
SELECT * FROM damaged;

-- One more or one less byte, another piece, another segment.
INSERT INTO :toast SELECT chunk_id, chunk_seq, chunk_data || '\x00' FROM saved;
SELECT * FROM damaged;
DELETE FROM :toast; VACUUM :toast;
INSERT INTO :toast SELECT chunk_id, chunk_seq + 1, chunk_data FROM saved;
SELECT * FROM damaged;
DELETE FROM :toast; VACUUM :toast;
UPDATE tsext.segment SET nrows = nrows - 1 WHERE store = :store;
INSERT INTO :toast SELECT chunk_id, chunk_seq, chunk_data || '' FROM saved;
SELECT * FROM damaged;
UPDATE tsext.segment SET nrows = nrows + 1 WHERE store = :store;
SELECT count(*) FROM damaged;
DELETE FROM :toast; VACUUM :toast;

-- Every byte. Outcomes: a proper error, the right answer, or something that must not be.
CREATE FUNCTION flip_every_byte(toast text) RETURNS TABLE (outcome text, times int)
LANGUAGE plpgsql AS $$
DECLARE
  saved saved;
  message text; detail text; hint text; state text;
  outcomes jsonb := '{}';
BEGIN
  SELECT * INTO saved FROM saved;
  FOR i IN 0 .. length(saved.chunk_data) - 1 LOOP
    BEGIN
      EXECUTE format('INSERT INTO %s VALUES ($1, $2, $3)', toast)
      USING saved.chunk_id, saved.chunk_seq,
            set_byte(saved.chunk_data, i, get_byte(saved.chunk_data, i) # (1 << i % 8));
      IF (SELECT count(*) FROM ((TABLE damaged EXCEPT ALL TABLE truth) UNION ALL
                                (TABLE truth EXCEPT ALL TABLE damaged)) d) = 0 THEN
        RAISE EXCEPTION 'right answer' USING ERRCODE = 'XXOK0';
      END IF;
      RAISE EXCEPTION 'WRONG ANSWER' USING ERRCODE = 'XXOK0';
    EXCEPTION WHEN OTHERS THEN
      GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
                              detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
      IF state = 'XX001' AND message = 'segment 4711 of chunk "2024-01-01 00:00:00+00" of table "damaged" is damaged'
         AND detail ~ '^(Head|Column "(time|id|v|s)"): .*\.$' AND hint LIKE 'Restore%' THEN
        message := 'damage reported in ' || split_part(detail, ':', 1);
      ELSIF state <> 'XXOK0' THEN
        message := format('UNEXPECTED at byte %s: %s %s (%s)', i, state, message, detail);
      END IF;
      outcomes := outcomes || jsonb_build_object(message, coalesce((outcomes ->> message)::int, 0) + 1);
    END;
  END LOOP;
  RETURN QUERY SELECT key, value::int FROM jsonb_each_text(outcomes) ORDER BY key COLLATE "C";
END $$;
CREATE TABLE outcomes AS SELECT * FROM flip_every_byte(:'toast');
SELECT outcome FROM outcomes WHERE outcome <> 'right answer';
-- Only bytes between blocks, at most seven before each, may change without notice.
SELECT coalesce(sum(times), 0) <= 4 * 7 AS only_padding FROM outcomes WHERE outcome = 'right answer';

-- Repaired, everything is there again.
INSERT INTO :toast SELECT chunk_id, chunk_seq, chunk_data || '' FROM saved;
VACUUM :toast;
UPDATE pg_class SET relkind = 't' WHERE oid = :store;
SELECT count(*) FROM ((TABLE damaged EXCEPT ALL TABLE truth) UNION ALL
                      (TABLE truth EXCEPT ALL TABLE damaged)) d;
DROP FUNCTION flip_every_byte;
DROP TABLE damaged, truth, saved, outcomes;
