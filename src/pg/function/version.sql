CREATE OR REPLACE FUNCTION tsext.version() RETURNS text LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'tsext_version';
COMMENT ON FUNCTION tsext.version() IS 'version of the loaded tsext library';
