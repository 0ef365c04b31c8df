SET datestyle = 'ISO, YMD';
SET timezone = 'UTC';
-- Off by default, and bound to loopback when on.
SELECT name, setting, unit, context FROM pg_settings
WHERE name ~ '^tsext\.(udp|http|listen|batch)_' ORDER BY name COLLATE "C";
ALTER SYSTEM SET tsext.http_listen = 'nonsense';
ALTER SYSTEM SET tsext.http_listen = '::1:8086';
ALTER SYSTEM SET tsext.udp_listen = '127.0.0.1:70000';
SET tsext.listen_role = 'x';
SELECT listener, address, pid, state, lines, stored, rejected FROM tsext.listener_stats ORDER BY 1;
SELECT metric, kind, listener, reason, value FROM tsext.stats WHERE metric ~ 'lines|rejected|up' ORDER BY metric, listener, reason COLLATE "C";
SELECT count(*) FROM tsext.rejected_lines;

-- Tokens.
CREATE ROLE listener_agent;
CREATE ROLE listener_admin;
SELECT length(tsext.create_token('agent', 'listener_agent', 'public'));
SELECT length(tsext.create_token('reader', 'listener_agent', 'metrics', '{read,write}', '2030-01-01'));
SELECT name, length(hash), role, schema, rights, expires FROM tsext.token ORDER BY name;
SELECT tsext.create_token('agent', 'listener_agent', 'public');
SELECT tsext.create_token('a:b', 'listener_agent', 'public');
SELECT tsext.create_token('', 'listener_agent', 'public');
SELECT tsext.create_token(repeat('x', 129), 'listener_agent', 'public');
SELECT tsext.create_token('c', 'listener_nobody', 'public');
SELECT tsext.create_token('c', 'listener_agent', 'public', '{}');
SELECT tsext.create_token('c', 'listener_agent', 'public', '{write,admin}');
SELECT tsext.create_token('c', 'listener_agent', 'public', ARRAY['write', NULL]);
SELECT tsext.create_token(NULL, 'listener_agent', 'public');
SELECT tsext.create_token('c', current_user::name, 'public') WHERE (SELECT rolsuper FROM pg_roles WHERE rolname = current_user);
-- The secret is nowhere, its hash is SHA-256 of it.
SELECT tsext.create_token('hashed', 'listener_agent', 'public') AS secret \gset
SELECT hash = sha256(:'secret'::bytea) AS hashed, hash::text LIKE '%' || :'secret' || '%' AS shown FROM tsext.token WHERE name = 'hashed';
-- Nobody else may make tokens, and with the right to do so only for roles he is a member of.
SET ROLE listener_admin;
SELECT tsext.create_token('d', 'listener_admin', 'public');
SELECT tsext.revoke_token('agent');
INSERT INTO tsext.token VALUES ('d', '', 'listener_admin', 'public', '{}', NULL, now());
RESET ROLE;
GRANT EXECUTE ON FUNCTION tsext.create_token(text, name, name, text[], timestamptz), tsext.revoke_token(text) TO listener_admin;
SET ROLE listener_admin;
SELECT length(tsext.create_token('d', 'listener_admin', 'public'));
SELECT tsext.create_token('e', 'listener_agent', 'public');
SELECT tsext.revoke_token('agent');
SELECT tsext.revoke_token('d');
RESET ROLE;
SELECT tsext.revoke_token('agent'), tsext.revoke_token('reader'), tsext.revoke_token('hashed');
SELECT tsext.revoke_token('agent');
SELECT count(*) FROM tsext.token;
BEGIN READ ONLY;
SELECT tsext.create_token('agent', 'listener_agent', 'public');
ROLLBACK;
REVOKE EXECUTE ON FUNCTION tsext.create_token(text, name, name, text[], timestamptz), tsext.revoke_token(text) FROM listener_admin;
DROP ROLE listener_agent, listener_admin;
