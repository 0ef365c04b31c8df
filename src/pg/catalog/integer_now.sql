-- Which function tells the time of a table with an integer time column (set_integer_now_func).
CREATE TABLE tsext.integer_now (
  relation regclass NOT NULL,
  function regprocedure NOT NULL,
  CONSTRAINT integer_now_pkey PRIMARY KEY (relation)
) USING heap;
COMMENT ON TABLE tsext.integer_now IS 'functions that tell the time of tables with an integer time column (internal)';
-- A dropped table or function has no name that a dump could write.
SELECT pg_catalog.pg_extension_config_dump('tsext.integer_now',
  'WHERE relation IN (SELECT oid FROM pg_catalog.pg_class) AND function IN (SELECT oid FROM pg_catalog.pg_proc)');
REVOKE ALL ON tsext.integer_now FROM PUBLIC;
GRANT SELECT ON tsext.integer_now TO PUBLIC;  -- whoever dumps the database

CREATE OR REPLACE FUNCTION set_integer_now_func(
  hypertable regclass, integer_now_func regproc, replace_if_exists boolean DEFAULT false)
RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tsext_set_integer_now_func';
COMMENT ON FUNCTION set_integer_now_func(regclass, regproc, boolean) IS
  'names the function that tells the current time of a table with an integer time column, for its policies';
