CREATE OR REPLACE FUNCTION tsext.compact(
  relation regclass, older_than "any" DEFAULT NULL, level text DEFAULT NULL,
  OUT rows_moved bigint, OUT segments_written int, OUT segments_merged int, OUT bytes_before bigint, OUT bytes_after bigint)
RETURNS record LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tsext_compact';
COMMENT ON FUNCTION tsext.compact(regclass, "any", text) IS
  'moves hot rows to compressed segments and merges small or overlapping segments; level ''cold'' rewrites with the heavy codecs';

CREATE OR REPLACE FUNCTION compress_chunk(chunk text, if_not_compressed boolean DEFAULT true)
RETURNS text LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tsext_compress_chunk';
COMMENT ON FUNCTION compress_chunk(text, boolean) IS 'moves the hot rows of a chunk to compressed segments now';

CREATE OR REPLACE FUNCTION decompress_chunk(chunk text, if_compressed boolean DEFAULT true)
RETURNS text LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tsext_decompress_chunk';
COMMENT ON FUNCTION decompress_chunk(text, boolean) IS
  'moves the rows of a chunk back into the hot heap, where they stay until compress_chunk() or tsext.compact()';

CREATE OR REPLACE FUNCTION drop_chunks(
  relation regclass, older_than "any" DEFAULT NULL, newer_than "any" DEFAULT NULL, verbose boolean DEFAULT false)
RETURNS SETOF text LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tsext_drop_chunks';
COMMENT ON FUNCTION drop_chunks(regclass, "any", "any", boolean) IS
  'drops whole chunks that end before older_than and start after newer_than without blocking readers or writers; returns their names';
