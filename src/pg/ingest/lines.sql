-- One router a session keeps what it knows: PARALLEL UNSAFE, and VOLATILE like any INSERT.
CREATE OR REPLACE FUNCTION tsext.write_lines(
  lines text, "precision" text DEFAULT 'ns', schema_name name DEFAULT pg_catalog.current_schema())
RETURNS TABLE (points bigint, rejected bigint, first_error text)
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tsext_write_lines';
COMMENT ON FUNCTION tsext.write_lines(text, text, name) IS
  'stores lines of InfluxDB''s line protocol in tables of a schema, which are made as needed; the caller''s rights hold';

CREATE OR REPLACE FUNCTION tsext.write_lines(
  lines bytea, "precision" text DEFAULT 'ns', schema_name name DEFAULT pg_catalog.current_schema())
RETURNS TABLE (points bigint, rejected bigint, first_error text)
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tsext_write_lines_bytes';
COMMENT ON FUNCTION tsext.write_lines(bytea, text, name) IS
  'stores lines of InfluxDB''s line protocol, in UTF-8, in tables of a schema, which are made as needed; the caller''s rights hold';

CREATE OR REPLACE FUNCTION tsext.parse_lines(lines text, "precision" text DEFAULT 'ns')
RETURNS TABLE (line_number int, measurement text, tags jsonb, fields jsonb, time_ns numeric, error text)
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'tsext_parse_lines';
COMMENT ON FUNCTION tsext.parse_lines(text, text) IS
  'points of lines of InfluxDB''s line protocol, or why a line is none; fields as [type, value], no time where the line has none';

CREATE OR REPLACE FUNCTION tsext.parse_lines(lines bytea, "precision" text DEFAULT 'ns')
RETURNS TABLE (line_number int, measurement text, tags jsonb, fields jsonb, time_ns numeric, error text)
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'tsext_parse_lines_bytes';
COMMENT ON FUNCTION tsext.parse_lines(bytea, text) IS
  'points of lines of InfluxDB''s line protocol, in UTF-8, or why a line is none; fields as [type, value], no time where the line has none';
