-- Who may write and read over HTTP. hash = SHA-256 of 256 random bits, so that its disclosure opens nothing: everybody may
-- read it, as pg_dump must be able to for whoever dumps the database. Written by create_token() and revoke_token() only.
CREATE TABLE tsext.token (
  name text COLLATE "C" NOT NULL,
  hash bytea NOT NULL,
  role regrole NOT NULL,
  schema name NOT NULL,
  rights text[] NOT NULL,
  expires timestamptz,
  created timestamptz NOT NULL,
  CONSTRAINT token_pkey PRIMARY KEY (name)
) USING heap;
CREATE UNIQUE INDEX token_hash ON tsext.token (hash);
COMMENT ON TABLE tsext.token IS 'tokens of the HTTP listener; see tsext.create_token()';
REVOKE ALL ON tsext.token FROM PUBLIC;
GRANT SELECT ON tsext.token TO PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('tsext.token', '');

CREATE OR REPLACE FUNCTION tsext.create_token(name text, role name, schema name, rights text[] DEFAULT '{write}', expires timestamptz DEFAULT NULL)
RETURNS text LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tsext_create_token';
COMMENT ON FUNCTION tsext.create_token(text, name, name, text[], timestamptz) IS 'makes a token for the HTTP listener and returns its secret, which is shown this once';
REVOKE ALL ON FUNCTION tsext.create_token(text, name, name, text[], timestamptz) FROM PUBLIC;

CREATE OR REPLACE FUNCTION tsext.revoke_token(name text)
RETURNS void LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tsext_revoke_token';
COMMENT ON FUNCTION tsext.revoke_token(text) IS 'ends a token at once';
REVOKE ALL ON FUNCTION tsext.revoke_token(text) FROM PUBLIC;
