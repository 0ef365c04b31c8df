-- Row security of tables below continuous aggregates: whoever reads a view sees what he could have aggregated himself, from hot and
-- cold rows, stored buckets and new ones, whatever happens to policies and roles; and what is refused and why.
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
SET intervalstyle = 'postgres';
SET client_min_messages = warning;
SET jit = off;
CREATE SCHEMA cagg_rls;
SET search_path = cagg_rls, public;
CREATE FUNCTION failure(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  detail text;
  hint text;
BEGIN
  EXECUTE command;
  RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
  RETURN concat_ws(E'\n  ', sqlstate || ' ' || sqlerrm, nullif(detail, ''), nullif(hint, ''));
END $$;
CREATE ROLE rls_ann;
CREATE ROLE rls_bob;
CREATE ROLE rls_eve;                  -- may read no table, only views
CREATE ROLE rls_team;
CREATE ROLE rls_member IN ROLE rls_team;
CREATE ROLE rls_later NOINHERIT IN ROLE rls_team;   -- has the rights of the team by SET ROLE only
CREATE ROLE rls_all BYPASSRLS;
CREATE ROLE rls_owner;                -- owns the tables
CREATE ROLE rls_stranger;
GRANT ALL ON SCHEMA cagg_rls TO PUBLIC;
CREATE FUNCTION as_role(role name, command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  result text;
BEGIN
  EXECUTE format('SET LOCAL ROLE %I', role);
  BEGIN
    EXECUTE command INTO result;
  EXCEPTION WHEN OTHERS THEN
    result := sqlstate || ' ' || sqlerrm;
  END;
  SET LOCAL ROLE NONE;
  RETURN result;
END $$;
-- How many rows roles see in a view, and how many of them are not what the query gives to the same role.
CREATE FUNCTION seen(view text, query text, VARIADIC roles name[] = '{rls_ann,rls_bob,rls_team,rls_member,rls_later,rls_stranger,rls_all,rls_owner}')
RETURNS TABLE (role name, rows text, differences text) LANGUAGE sql AS $$
  SELECT r, cagg_rls.as_role(r, 'SELECT count(*) FROM cagg_rls.' || view),
    cagg_rls.as_role(r, format('SELECT count(*) FROM ((TABLE cagg_rls.%1$s EXCEPT ALL %2$s) UNION ALL (%2$s EXCEPT ALL TABLE cagg_rls.%1$s)) x', view, query))
  FROM unnest(roles) r
$$;

SET ROLE rls_owner;
CREATE TABLE cpu (time timestamptz NOT NULL, tenant text, host text, n int) USING tsext WITH (tsext.chunk_interval = '1 day');
INSERT INTO cpu SELECT timestamptz '2024-01-01 00:00+00' + g * interval '7 min', (ARRAY['rls_ann', 'rls_bob', 'team', NULL])[1 + g % 4], 'host_' || g % 3, g
  FROM generate_series(0, 999) g;
ALTER TABLE cpu ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON cpu TO rls_ann, rls_bob, rls_team, rls_member, rls_later, rls_stranger, rls_all;
-- Rights on the parts come with the schema's defaults: they lead to no row.
ALTER DEFAULT PRIVILEGES IN SCHEMA cagg_rls GRANT SELECT ON TABLES TO PUBLIC;
-- No policy yet: nobody sees anything but the owner and those who pass.
CREATE MATERIALIZED VIEW hourly WITH (tsext.continuous) AS
  SELECT time_bucket('1 hour', time) AS bucket, host, sum(n) AS n, tenant, count(*) FROM cpu GROUP BY 1, tenant, host;
RESET ROLE;
\set by_hour 'SELECT time_bucket(''1 hour'', time), host, sum(n), tenant, count(*) FROM cpu GROUP BY 1, tenant, host'
SELECT * FROM seen('hourly', :'by_hour');
SET ROLE rls_owner;
CREATE POLICY own ON cpu USING (tenant = current_user);
CREATE POLICY team ON cpu FOR SELECT TO rls_team USING (tenant = 'team');
CREATE POLICY named ON cpu USING (tenant = (SELECT nullif(current_setting('cagg_rls.tenant', true), '')));
CREATE POLICY writing ON cpu FOR INSERT WITH CHECK (n > 5);      -- says nothing of reading
CREATE POLICY nothing ON cpu FOR UPDATE USING (n > 5);
CREATE POLICY not_host_1 ON cpu AS RESTRICTIVE TO rls_bob, rls_member USING (host <> 'host_1');
RESET ROLE;
SELECT * FROM seen('hourly', :'by_hour');
-- New rows, late ones, cold ones, a part of the buckets stored.
INSERT INTO cpu SELECT timestamptz '2024-01-05 22:00+00' + g * interval '11 min', (ARRAY['rls_ann', 'rls_bob', 'team', NULL])[1 + g % 4], 'host_' || g % 3, g
  FROM generate_series(0, 99) g;
INSERT INTO cpu SELECT timestamptz '2024-01-02 00:00+00' + g * interval '3 hours', (ARRAY['rls_ann', 'rls_bob', 'team', NULL])[1 + g % 4], 'late', 1 FROM generate_series(0, 15) g;
SELECT pending > 0 AS pending, (SELECT count(*) FROM hourly_materialized) > 0 AS stored FROM tsext.continuous_aggregates WHERE view_name = 'hourly';
SELECT * FROM seen('hourly', :'by_hour');
SELECT tsext.compact('cpu') IS NOT NULL, tsext.compact('hourly_materialized') IS NOT NULL;
SELECT * FROM seen('hourly', :'by_hour');
SET cagg_rls.tenant = 'rls_bob';
SELECT * FROM seen('hourly', :'by_hour');
SELECT as_role('rls_eve', 'SELECT count(*) FROM cagg_rls.hourly') AS hourly, as_role('rls_eve', 'SELECT count(*) FROM cagg_rls.cpu') AS cpu;
RESET cagg_rls.tenant;
CALL refresh_continuous_aggregate('hourly', NULL, NULL);
SELECT * FROM seen('hourly', :'by_hour');
ALTER MATERIALIZED VIEW hourly SET (tsext.materialized_only);
SELECT * FROM seen('hourly', :'by_hour' || ' HAVING time_bucket(''1 hour'', time) < (SELECT tsext.watermark(''cagg_rls.hourly_materialized'', NULL::timestamptz))');
ALTER MATERIALIZED VIEW hourly SET (tsext.materialized_only = false);
SELECT * FROM seen('hourly', :'by_hour');

-- Nobody reads around the condition: neither with rights on the parts, nor with those on everything.
GRANT SELECT ON ALL TABLES IN SCHEMA cagg_rls TO PUBLIC;
REVOKE SELECT ON cpu FROM PUBLIC;
GRANT pg_read_all_data TO rls_stranger;
SELECT r AS role, as_role(r, 'SELECT count(*) FROM cagg_rls.hourly_materialized') AS stored, as_role(r, 'SELECT count(*) FROM cagg_rls.hourly_direct') AS direct,
  as_role(r, 'SELECT count(*) FROM cagg_rls.hourly_direct EXCEPT SELECT count(*) FROM cagg_rls.hourly') AS difference
FROM unnest('{rls_ann,rls_stranger,rls_eve,rls_all}'::name[]) r;
REVOKE pg_read_all_data FROM rls_stranger;
SELECT r AS role, as_role(r, $$SELECT count(*) FROM tsext.tail('cagg_rls.hourly', NULL) AS t(bucket timestamptz, host text, n int8, tenant text, count int8)$$) AS rows
FROM unnest('{rls_ann,rls_eve,rls_all}'::name[]) r;
-- Functions of the reader see no row before the condition, not even in plans; times are still looked up.
CREATE TABLE told (tenant text);
GRANT ALL ON told TO PUBLIC;
CREATE FUNCTION tell(text) RETURNS bool LANGUAGE plpgsql COST 0.0001 AS $$ BEGIN INSERT INTO cagg_rls.told VALUES ($1); RETURN true; END $$;
SELECT as_role('rls_ann', 'SELECT count(*) FROM cagg_rls.hourly WHERE cagg_rls.tell(tenant)');
SELECT tenant, count(*) > 0 AS told FROM told GROUP BY 1 ORDER BY 1;
CREATE FUNCTION filters(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
  line text;
BEGIN
  FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
    IF line ~ 'Filter: ' THEN
      RETURN NEXT regexp_replace(line, '^ +|^.*?(?=NOT \$\d+\) OR).*', CASE WHEN line ~ 'NOT \$\d+\) OR' THEN 'Filter: row security' ELSE '' END);
    END IF;
  END LOOP;
END $$;
SET ROLE rls_ann;
SELECT filters($$SELECT * FROM cagg_rls.hourly WHERE bucket >= '2024-01-05' AND cagg_rls.tell(tenant)$$);
RESET ROLE;

-- One plan for all roles.
SET plan_cache_mode = force_generic_plan;
PREPARE rows AS SELECT tenant, count(*), sum(n) FROM hourly GROUP BY 1 ORDER BY 1;
PREPARE raw AS SELECT tenant, count(DISTINCT (time_bucket('1 hour', time), host)), sum(n) FROM cpu GROUP BY 1 ORDER BY 1;
EXECUTE rows;
SET ROLE rls_ann;
EXECUTE rows;
EXECUTE raw;
SET ROLE rls_member;
EXECUTE rows;
EXECUTE raw;
SET cagg_rls.tenant = 'rls_bob';
EXECUTE rows;
EXECUTE raw;
RESET cagg_rls.tenant;
SET ROLE rls_stranger;
EXECUTE rows;
SET ROLE rls_all;
EXECUTE rows;
RESET ROLE;
-- The right to a role counts at once.
GRANT rls_ann TO rls_stranger;
SET ROLE rls_stranger;
EXECUTE rows;
RESET ROLE;
ALTER POLICY own ON cpu TO rls_ann USING (tenant = 'rls_ann');
SET ROLE rls_stranger;
EXECUTE rows;
RESET ROLE;
REVOKE rls_ann FROM rls_stranger;
SET ROLE rls_stranger;
EXECUTE rows;
RESET ROLE;
-- For those who see everything the view is no barrier; that is not kept for others.
TRUNCATE told;
PREPARE tell AS SELECT count(*) FROM hourly WHERE tell(tenant);
EXECUTE tell;
SELECT tenant, count(*) > 0 AS told FROM told GROUP BY 1 ORDER BY 1;
TRUNCATE told;
SET ROLE rls_ann;
EXECUTE tell;
RESET ROLE;
SELECT tenant, count(*) > 0 AS told FROM told GROUP BY 1 ORDER BY 1;
DEALLOCATE ALL;
RESET plan_cache_mode;
-- Off is for those who would rather have an error than a part.
SET row_security = off;
SELECT r AS role, as_role(r, 'SELECT count(*) > 0 FROM cagg_rls.hourly') AS view, as_role(r, 'SELECT count(*) > 0 FROM cagg_rls.cpu') AS raw
FROM unnest('{rls_ann,rls_stranger,rls_all,rls_owner}'::name[]) r;
RESET row_security;

-- What cannot be applied to groups of rows.
CREATE TABLE hosts (host text, region text, rack int) USING heap;
INSERT INTO hosts SELECT 'host_' || g % 4, (ARRAY['north', 'south'])[1 + g % 2], g FROM generate_series(0, 4) g;
CREATE TABLE members (tenant text, role name) USING heap;
CREATE FUNCTION may_see(tenant text) RETURNS bool LANGUAGE sql STABLE AS 'SELECT EXISTS (SELECT FROM cagg_rls.members m WHERE m.tenant = $1 AND m.role = current_user)';
CREATE FUNCTION noisy(text) RETURNS bool LANGUAGE sql VOLATILE AS 'SELECT true';
CREATE COLLATION folding (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE odd (time timestamptz NOT NULL, tenant text, amount numeric, folded text COLLATE folding, code char(4), padded bpchar, v int) USING tsext;
ALTER TABLE odd ENABLE ROW LEVEL SECURITY;
CREATE FUNCTION refused(policy text, query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  result text;
BEGIN
  EXECUTE 'CREATE POLICY tested ON cagg_rls.odd USING (' || policy || ')';
  result := cagg_rls.failure('CREATE MATERIALIZED VIEW cagg_rls.made WITH (tsext.continuous) AS ' || query || ' WITH NO DATA');
  DROP MATERIALIZED VIEW IF EXISTS cagg_rls.made;
  DROP POLICY tested ON cagg_rls.odd;
  RETURN result;
END $$;
SELECT policy || E'\n    ' || refused(policy, 'SELECT time_bucket(''1 hour'', time) AS bucket, ' || columns || ', count(*) FROM odd GROUP BY 1, ' || columns) FROM (VALUES
  (1, 'v > 0', 'tenant'), (2, 'time > ''2024-01-01''', 'tenant'), (3, 'tenant = ''a''', 'lower(tenant)'), (4, 'amount = 1', 'amount'), (5, 'folded = ''a''', 'folded'),
  (6, 'odd IS NOT NULL', 'tenant'), (7, 'ctid IS NOT NULL', 'tenant'), (8, 'noisy(tenant)', 'tenant'), (9, 'EXISTS (SELECT FROM hosts WHERE host = tenant)', 'tenant'),
  (10, 'tenant IN (SELECT x FROM unnest(ARRAY[''a'', tenant, odd.v::text]) x)', 'tenant'), (11, 'tenant IN (SELECT x FROM unnest(ARRAY[''a'', tenant, odd.v::text]) x)', 'tenant, v'),
  (12, 'may_see(tenant)', 'tenant, v'), (13, 'true', 'amount'), (14, 'code = ''a''', 'code'), (15, 'padded = ''a''', 'padded')) p(id, policy, columns) ORDER BY id;
SELECT refused('tenant = ''a''', 'SELECT time_bucket(''1 hour'', time) AS bucket, count(*) FROM odd GROUP BY 1, tenant');
-- Buckets are of all rows: their owner must see all of them.
ALTER TABLE odd OWNER TO rls_owner;
GRANT ALL ON odd TO rls_ann, rls_all;
SELECT r AS role, as_role(r, $$SELECT cagg_rls.failure('CREATE MATERIALIZED VIEW cagg_rls.made WITH (tsext.continuous) AS SELECT time_bucket(''1 hour'', time) AS bucket, tenant FROM cagg_rls.odd GROUP BY 1, 2 WITH NO DATA')$$)
FROM unnest('{rls_ann,rls_owner}'::name[]) r;
SELECT failure('ALTER TABLE odd FORCE ROW LEVEL SECURITY');
SELECT failure('ALTER MATERIALIZED VIEW made OWNER TO rls_ann');
ALTER MATERIALIZED VIEW made OWNER TO rls_all;
ALTER TABLE odd FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON odd USING (tenant = current_user);
INSERT INTO odd (time, tenant, amount, folded, v) SELECT timestamptz '2024-01-01 00:00+00' + g * interval '7 min', (ARRAY['rls_ann', 'rls_bob'])[1 + g % 2], g, 'x', g FROM generate_series(0, 99) g;
CALL refresh_continuous_aggregate('made', NULL, NULL);
SELECT count(*) FROM made_materialized;
INSERT INTO odd (time, tenant, amount, folded, v) SELECT timestamptz '2024-01-01 03:00+00' + g * interval '70 min', (ARRAY['rls_ann', 'rls_bob', 'late'])[1 + g % 3], g, 'x', g FROM generate_series(0, 20) g;
\set by_tenant 'SELECT time_bucket(''1 hour'', time), tenant FROM odd GROUP BY 1, 2'
SELECT * FROM seen('made', :'by_tenant', 'rls_ann', 'rls_all', 'rls_owner');
-- What the owner does not see, upon whom it is forced, must not be lost either.
SELECT count(*) > 0 AS dropped FROM drop_chunks('odd', older_than => timestamptz '2024-01-02');
CALL refresh_continuous_aggregate('made', NULL, NULL);
SELECT as_role(r, 'SELECT min(bucket) || '' '' || count(*) FROM cagg_rls.made') FROM unnest('{rls_ann,rls_owner,rls_all}'::name[]) r;
-- A role that loses the right is heard of when it matters: nothing is computed from a part, nor shown.
ALTER ROLE rls_all NOBYPASSRLS;
INSERT INTO odd (time, tenant) VALUES ('2024-01-02 05:00+00', 'late');
CALL refresh_continuous_aggregate('made', NULL, NULL);
SELECT failure('SELECT * FROM drop_chunks(''odd'', older_than => timestamptz ''2024-01-03'')');
SELECT as_role(r, 'SELECT count(*) FROM cagg_rls.made') FROM unnest('{rls_ann,rls_all}'::name[]) r;
ALTER ROLE rls_all BYPASSRLS;
CALL refresh_continuous_aggregate('made', NULL, NULL);
SELECT as_role('rls_all', 'SELECT count(*) FROM cagg_rls.made WHERE tenant = ''late'' AND bucket >= ''2024-01-02''');
DROP TABLE odd CASCADE;

-- A function reads as the caller, under the row security that applies to the caller.
ALTER TABLE members OWNER TO rls_owner;
GRANT SELECT ON members TO rls_ann, rls_bob, rls_all;
INSERT INTO members VALUES ('team', 'rls_ann'), ('rls_bob', 'rls_ann'), ('rls_ann', 'rls_bob');
ALTER TABLE members ENABLE ROW LEVEL SECURITY;
CREATE POLICY visible ON members USING (tenant <> 'rls_bob');
CREATE POLICY member ON cpu USING (may_see(tenant));
SELECT * FROM seen('hourly', :'by_hour', 'rls_ann', 'rls_bob', 'rls_stranger', 'rls_all');
DROP POLICY member ON cpu;

-- Aggregates over aggregates, and joined tables with row security of their own.
ALTER TABLE hosts OWNER TO rls_owner;
GRANT SELECT ON hosts TO rls_ann, rls_bob, rls_team, rls_member, rls_later, rls_stranger, rls_all;
SET ROLE rls_owner;
CREATE MATERIALIZED VIEW daily WITH (tsext.continuous) AS
  SELECT tenant, time_bucket('1 day', bucket) AS day, sum(count) AS count, host, max(n) FROM hourly GROUP BY day, tenant, host;
CREATE MATERIALIZED VIEW monthly WITH (tsext.continuous) AS
  SELECT time_bucket('1 month', day) AS month, host, tenant AS who, sum(count) AS count FROM daily GROUP BY 1, 2, 3 WITH NO DATA;
CREATE MATERIALIZED VIEW regions WITH (tsext.continuous) AS
  SELECT time_bucket('1 day', time) AS bucket, h.region, c.tenant, c.host, count(*) FROM cpu c JOIN hosts h ON h.host = c.host AND h.rack < 3 GROUP BY 1, 2, 3, 4;
CREATE MATERIALIZED VIEW hosts_daily WITH (tsext.continuous) AS
  SELECT time_bucket('1 day', bucket) AS bucket, region, tenant, host, sum(count) AS count FROM hourly JOIN hosts USING (host) GROUP BY 1, 2, 3, 4;
SELECT failure('CREATE MATERIALIZED VIEW refused WITH (tsext.continuous) AS SELECT time_bucket(''1 day'', bucket) AS bucket, host FROM hourly GROUP BY 1, 2');
RESET ROLE;
INSERT INTO cpu SELECT timestamptz '2024-01-03 00:00+00' + g * interval '5 hours', (ARRAY['rls_ann', 'rls_bob', 'team', NULL])[1 + g % 4], 'late', 1 FROM generate_series(0, 15) g;
\set by_day 'SELECT tenant, time_bucket(''1 day'', bucket) AS day, sum(count), host, max(n) FROM (' :by_hour ') x(bucket, host, n, tenant, count) GROUP BY day, tenant, host'
\set by_month 'SELECT time_bucket(''1 month'', time), host, tenant, count(*)::numeric FROM cpu GROUP BY 1, 2, 3'
\set by_region 'SELECT time_bucket(''1 day'', time), h.region, c.tenant, c.host, count(*) FROM cpu c JOIN hosts h ON h.host = c.host AND h.rack < 3 GROUP BY 1, 2, 3, 4'
\set by_host 'SELECT time_bucket(''1 day'', time), h.region, c.tenant, c.host, count(*)::numeric FROM cpu c JOIN hosts h ON h.host = c.host GROUP BY 1, 2, 3, 4'
CREATE FUNCTION all_seen(VARIADIC queries text[]) RETURNS TABLE (role name, daily text, monthly text, regions text, hosts text) LANGUAGE sql AS $$
  SELECT role, max(rows || ' ' || differences) FILTER (WHERE n = 1), max(rows || ' ' || differences) FILTER (WHERE n = 2),
    max(rows || ' ' || differences) FILTER (WHERE n = 3), max(rows || ' ' || differences) FILTER (WHERE n = 4)
  FROM generate_series(1, 4) n, cagg_rls.seen((ARRAY['daily', 'monthly', 'regions', 'hosts_daily'])[n], queries[n], 'rls_ann', 'rls_team', 'rls_member', 'rls_stranger', 'rls_all') s
  GROUP BY role ORDER BY role $$;
SELECT * FROM all_seen(:'by_day', :'by_month', :'by_region', :'by_host');
-- A level is no barrier for the one above: buckets of days are looked up in those of hours. Above the upper one it is.
TRUNCATE told;
SELECT as_role('rls_ann', 'SELECT count(*) FROM cagg_rls.daily WHERE cagg_rls.tell(tenant)');
SELECT tenant, count(*) > 0 AS told FROM told GROUP BY 1 ORDER BY 1;
SET ROLE rls_ann;
SELECT count(*) FILTER (WHERE f LIKE 'Vector Filter:%1 day%') AS looked_up, count(*) FILTER (WHERE f LIKE 'Filter: ((time_bucket%') AS tested
FROM filters('SELECT * FROM cagg_rls.daily') f;
SET ROLE rls_owner;
SELECT count(*) FILTER (WHERE f LIKE 'Vector Filter:%1 day%') AS looked_up, count(*) FILTER (WHERE f LIKE 'Filter: ((time_bucket%') AS tested
FROM filters('INSERT INTO cagg_rls.daily_materialized SELECT * FROM cagg_rls.daily_direct WHERE day >= ''2024-01-03'' AND day < ''2024-01-05''') f;
RESET ROLE;
-- A joined table comes to row security: the views above are made anew in the statement that changes it.
SELECT failure('ALTER TABLE hosts ENABLE ROW LEVEL SECURITY; CREATE POLICY by_rack ON hosts USING (rack > 1)');
ALTER TABLE hosts ENABLE ROW LEVEL SECURITY;
SELECT * FROM all_seen(:'by_day', :'by_month', :'by_region', :'by_host');
CREATE POLICY north ON hosts TO rls_ann, rls_team USING (region = 'north');
CREATE POLICY south ON hosts USING (region = 'south' AND current_user <> 'rls_ann');
SELECT * FROM all_seen(:'by_day', :'by_month', :'by_region', :'by_host');
SELECT failure('CREATE MATERIALIZED VIEW refused WITH (tsext.continuous) AS
  SELECT time_bucket(''1 day'', time) AS bucket, h.region, tenant FROM cpu c LEFT JOIN hosts h USING (host) GROUP BY 1, 2, 3');
-- Later changes of the base: all levels follow, or the first that cannot refuses.
SELECT failure(c) FROM (VALUES
  ('CREATE POLICY odd ON cpu USING (n > 3)'),
  ('ALTER POLICY own ON cpu USING (time > ''2024-01-02'')'),
  ('ALTER POLICY own ON cpu USING (EXISTS (SELECT FROM hosts WHERE host = cpu.host))'),
  ('ALTER POLICY writing ON cpu WITH CHECK (time > ''2024-01-02'')'),
  ('CREATE POLICY "It''s ""odd""" ON cpu USING (tenant IS NULL)'),
  ('ALTER POLICY own ON cpu RENAME TO "$1"'),
  ('ALTER POLICY "$1" ON cpu TO PUBLIC USING (tenant = current_user OR tenant = current_setting(''cagg_rls.tenant'', true))'),
  ('DROP POLICY named ON cpu'),
  ('ALTER TABLE cpu RENAME COLUMN tenant TO customer'),
  ('ALTER TABLE cpu RENAME TO cpus'),
  ('ALTER TABLE cpus RENAME TO cpu'),
  ('ALTER TABLE cpu RENAME COLUMN customer TO tenant'),
  ('ALTER MATERIALIZED VIEW hourly RENAME COLUMN tenant TO who'),
  ('ALTER POLICY "$1" ON cpu RENAME TO "$2"'),
  ('ALTER MATERIALIZED VIEW hourly RENAME COLUMN who TO tenant')) c(c);
SELECT * FROM seen('hourly', :'by_hour');
SELECT * FROM all_seen(:'by_day', :'by_month', :'by_region', :'by_host');
CALL refresh_continuous_aggregate('hourly', NULL, NULL);
CALL refresh_continuous_aggregate('daily', NULL, NULL);
CALL refresh_continuous_aggregate('monthly', NULL, NULL);
CALL refresh_continuous_aggregate('regions', NULL, NULL);
SELECT * FROM all_seen(:'by_day', :'by_month', :'by_region', :'by_host');
-- Policies that go with a role; a function that one needs.
CREATE POLICY gone ON cpu TO rls_stranger USING (true);
CREATE FUNCTION own_too(text) RETURNS bool LANGUAGE sql STABLE AS $$ SELECT $1 IS NULL $$;
CREATE POLICY own_too ON cpu AS RESTRICTIVE TO rls_stranger, rls_eve USING (own_too(tenant));
SELECT * FROM seen('hourly', :'by_hour', 'rls_stranger');
DROP OWNED BY rls_stranger;
GRANT SELECT ON cpu, hosts TO rls_stranger;
SELECT polname FROM pg_policy WHERE polrelid = 'cpu'::regclass ORDER BY 1;
SELECT * FROM seen('hourly', :'by_hour', 'rls_stranger');
SELECT failure('DROP FUNCTION own_too(text)') LIKE '%other objects depend on it%' AS is_needed;
DROP POLICY own_too ON cpu;
DROP FUNCTION own_too(text);
-- A rolled back change leaves nothing.
BEGIN;
DROP POLICY "$2" ON cpu;
SAVEPOINT s;
CREATE POLICY everything ON cpu USING (true);
SELECT * FROM seen('hourly', :'by_hour', 'rls_ann', 'rls_stranger');
ROLLBACK TO s;
SELECT * FROM seen('hourly', :'by_hour', 'rls_ann', 'rls_stranger');
ROLLBACK;
SELECT * FROM seen('hourly', :'by_hour', 'rls_ann', 'rls_stranger');
-- Under event triggers, too.
CREATE FUNCTION note() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING '%', tg_tag; END $$;
CREATE EVENT TRIGGER noting ON ddl_command_end EXECUTE FUNCTION note();
ALTER TABLE cpu DISABLE ROW LEVEL SECURITY;
SELECT * FROM seen('hourly', :'by_hour', 'rls_ann', 'rls_stranger');
ALTER TABLE cpu ENABLE ROW LEVEL SECURITY;
CREATE MATERIALIZED VIEW noted WITH (tsext.continuous) AS SELECT time_bucket('1 hour', time) AS bucket, tenant, host FROM cpu GROUP BY 1, 2, 3 WITH NO DATA;
DROP MATERIALIZED VIEW noted;
DROP EVENT TRIGGER noting;
SELECT * FROM seen('hourly', :'by_hour', 'rls_ann', 'rls_stranger');
-- What the protection depends on stays.
SELECT failure(c) FROM (VALUES
  ('ALTER VIEW hourly SET (security_barrier = false)'), ('ALTER MATERIALIZED VIEW hourly RESET (security_barrier)'),
  ('ALTER VIEW hourly_direct SET (security_invoker = false)'), ('ALTER TABLE hourly_materialized DISABLE ROW LEVEL SECURITY'),
  ('CREATE OR REPLACE VIEW hourly_direct AS TABLE hourly_materialized'), ('ALTER TABLE hourly_materialized OWNER TO rls_all'),
  ('ALTER TABLE hourly_materialized FORCE ROW LEVEL SECURITY'), ('ALTER TABLE hourly_materialized ENABLE ROW LEVEL SECURITY')) c(c);
-- Policies that were changed behind our back.
SET allow_system_table_mods = on;
UPDATE pg_policy SET polname = 'other' WHERE polname = '$2';
SELECT r AS role, as_role(r, 'SELECT count(*) > 0 FROM cagg_rls.hourly') FROM unnest('{rls_ann,rls_all}'::name[]) r;
UPDATE pg_policy SET polname = '$2' WHERE polname = 'other';
RESET allow_system_table_mods;
SELECT * FROM seen('hourly', :'by_hour', 'rls_ann', 'rls_stranger');
-- Without row security nothing is left of it.
ALTER TABLE cpu DISABLE ROW LEVEL SECURITY;
SELECT relname, reloptions, relrowsecurity FROM pg_class WHERE relname LIKE 'hourly%' ORDER BY 1;
ALTER TABLE hosts DISABLE ROW LEVEL SECURITY;
SELECT * FROM all_seen(:'by_day', :'by_month', :'by_region', :'by_host');
SELECT pg_get_viewdef('daily') LIKE '%row_security%' AS has_condition;

DROP SCHEMA cagg_rls CASCADE;
DROP OWNED BY rls_ann, rls_bob, rls_eve, rls_team, rls_member, rls_later, rls_all, rls_owner, rls_stranger;
DROP ROLE rls_ann, rls_bob, rls_eve, rls_team, rls_member, rls_later, rls_all, rls_owner, rls_stranger;
