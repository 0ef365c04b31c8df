-- Chunks that decompress_chunk() made hot: background compaction leaves them alone.
CREATE TABLE tsext.chunk_hold (
  store oid NOT NULL,
  chunk_start int8 NOT NULL,
  chunk_end int8 NOT NULL,
  CONSTRAINT chunk_hold_pkey PRIMARY KEY (store, chunk_start)
) USING heap;
COMMENT ON TABLE tsext.chunk_hold IS 'chunks that decompress_chunk() keeps hot (internal)';
REVOKE ALL ON tsext.chunk_hold FROM PUBLIC;
