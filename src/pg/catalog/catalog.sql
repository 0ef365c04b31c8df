CREATE SCHEMA tsext;
COMMENT ON SCHEMA tsext IS 'catalogs, views and settings of the tsext extension';
GRANT USAGE ON SCHEMA tsext TO PUBLIC;

-- The segment directory: one immutable row a segment. store = the TOAST relation that holds the bytes.
-- It holds minima and maxima of people's data: no privileges for ordinary roles, the views show what one may see.
CREATE TABLE tsext.segment (
  store oid NOT NULL,
  seg int4 NOT NULL,
  chunk_start int8 NOT NULL,
  chunk_end int8 NOT NULL,
  level int2 NOT NULL,
  tmin int8 NOT NULL,
  tmax int8 NOT NULL,
  nrows int4 NOT NULL,
  key_lo bytea,
  key_hi bytea,
  valueid oid NOT NULL,
  npieces int4 NOT NULL,
  nbytes int8 NOT NULL,
  piece_pages bytea,
  flags int4 NOT NULL,
  CONSTRAINT segment_pkey PRIMARY KEY (store, seg)
) USING heap;
CREATE INDEX segment_time ON tsext.segment (store, tmax, tmin);
COMMENT ON TABLE tsext.segment IS 'directory of compressed segments (internal; see the view tsext.segments)';

-- Append-only parts; a reader takes the union of all parts it sees. Written by the DELETE and UPDATE of cold rows.
CREATE TABLE tsext.tombstone (
  store oid NOT NULL,
  seg int4 NOT NULL,
  part int8 NOT NULL,
  ndead int4 NOT NULL,
  bits bytea NOT NULL,
  fwd bytea,
  CONSTRAINT tombstone_pkey PRIMARY KEY (store, seg, part)
) USING heap;
COMMENT ON TABLE tsext.tombstone IS 'rows of segments that are deleted (internal)';

CREATE TABLE tsext.store_total (
  store oid NOT NULL,
  part int8 NOT NULL,
  rows int8 NOT NULL,
  bytes int8 NOT NULL,
  segments int8 NOT NULL,
  tmin int8 NOT NULL,
  tmax int8 NOT NULL,
  CONSTRAINT store_total_pkey PRIMARY KEY (store, part)
) USING heap;
COMMENT ON TABLE tsext.store_total IS 'running totals of a store, summed over its rows (internal)';

CREATE SEQUENCE tsext.seg_id AS int4 MINVALUE 1 MAXVALUE 2147483632 CYCLE;
CREATE SEQUENCE tsext.part_id AS int8;

-- A publisher's object ids must never land in a subscriber's directory (FOR ALL TABLES publishes extension tables too):
-- footer.sql puts it before every table.
CREATE FUNCTION tsext.ignore_replicated_row() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME', 'tsext_ignore_replicated_row';
COMMENT ON FUNCTION tsext.ignore_replicated_row() IS 'keeps a publisher''s directory rows out of a subscriber (internal)';
REVOKE ALL ON FUNCTION tsext.ignore_replicated_row() FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA tsext FROM PUBLIC;
