# Continuous aggregates in dumps: definition, finished buckets, watermark, log, ranges whose source is gone, policies and
# owners arrive by every way of restoring; the view shows the same rows at once, and goes on being refreshed.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('cagg_dump');
$node->init;
$node->append_conf('postgresql.conf', "tsext.compact_background = off");
$node->start;
$node->safe_psql(
	'postgres', q{
	CREATE EXTENSION tsext;
	CREATE ROLE app;
	CREATE ROLE reader;
	CREATE SCHEMA "Zoo of app" AUTHORIZATION app;      -- its data is restored after that of schema tsext
	SET ROLE app;
	SET search_path = "Zoo of app", public;
	CREATE TABLE cpu (time timestamptz NOT NULL, host text, usage float8) USING tsext WITH (tsext.chunk_interval = '1 day');
	CREATE TABLE hosts (host text PRIMARY KEY, region text);
	INSERT INTO hosts VALUES ('host 1', 'north'), ('host 2', 'south');
	INSERT INTO cpu SELECT timestamptz '2024-01-01 00:00+00' + g * interval '10 minutes', 'host ' || g % 3, g / 8.0 FROM generate_series(0, 4999) g;
	CREATE MATERIALIZED VIEW hourly WITH (tsext.continuous) AS
	  SELECT time_bucket('1 hour', time) AS bucket, host, sum(usage) AS usage, count(*) AS n FROM cpu GROUP BY 1, 2;
	CREATE MATERIALIZED VIEW daily WITH (tsext.continuous) AS
	  SELECT time_bucket('1 day', bucket) AS bucket, host, sum(usage) AS usage, sum(n) AS n FROM hourly GROUP BY 1, 2;
	CREATE MATERIALIZED VIEW "It's ""odd""" WITH (tsext.continuous) AS
	  SELECT time_bucket('1 month', time, 'Europe/Berlin') AS "The, month", region, count(*) AS n FROM cpu LEFT JOIN hosts USING (host) GROUP BY 1, 2;
	CREATE MATERIALIZED VIEW finished WITH (tsext.continuous, tsext.materialized_only) AS
	  SELECT time_bucket('6 hours', time) AS bucket, max(usage) AS n FROM cpu GROUP BY 1;
	CREATE MATERIALIZED VIEW empty WITH (tsext.continuous) AS SELECT time_bucket('1 hour', time) AS bucket, count(*) AS n FROM cpu GROUP BY 1 WITH NO DATA;
	CREATE MATERIALIZED VIEW renamed WITH (tsext.continuous) AS SELECT time_bucket('1 hour', time) AS bucket, count(*) AS c FROM cpu GROUP BY 1;
	ALTER MATERIALIZED VIEW renamed RENAME COLUMN bucket TO hour;
	ALTER MATERIALIZED VIEW renamed RENAME COLUMN c TO n;
	CREATE TABLE secured (time timestamptz NOT NULL, tenant text, n int) USING tsext;
	INSERT INTO secured SELECT timestamptz '2024-01-01 00:00+00' + g * interval '10 minutes', (ARRAY['app', 'reader', 'other'])[1 + g % 3], g FROM generate_series(0, 999) g;
	ALTER TABLE secured ENABLE ROW LEVEL SECURITY;
	CREATE FUNCTION is_own(tenant text) RETURNS bool LANGUAGE sql STABLE RETURN tenant = current_user;
	CREATE POLICY own ON secured USING ("Zoo of app".is_own(tenant));
	CREATE POLICY "It's" ON secured AS RESTRICTIVE TO reader USING (tenant <> 'other');
	CREATE MATERIALIZED VIEW private WITH (tsext.continuous) AS SELECT time_bucket('1 hour', time) AS bucket, tenant, sum(n) AS n FROM secured GROUP BY 1, 2;
	CREATE MATERIALIZED VIEW private_daily WITH (tsext.continuous) AS SELECT time_bucket('1 day', bucket) AS bucket, tenant AS who, sum(n) AS n FROM private GROUP BY 1, 2;
	ALTER MATERIALIZED VIEW private RENAME COLUMN tenant TO who;
	COMMENT ON MATERIALIZED VIEW hourly IS 'by the hour';
	GRANT USAGE ON SCHEMA "Zoo of app" TO reader;
	GRANT SELECT ON hourly, private, private_daily TO reader;
	CREATE INDEX ON hourly_materialized (host);
	BEGIN;
	SELECT add_continuous_aggregate_policy('hourly', NULL, '1 hour', '1 hour');
	SELECT alter_job(id, scheduled => false) FROM tsext.job WHERE id >= 1000;
	COMMIT;
	SELECT drop_chunks('cpu', older_than => timestamptz '2024-01-05 00:00+00');
	INSERT INTO secured VALUES ('2024-01-02 00:01+00', 'reader', 1000), ('2024-01-02 00:01+00', 'other', 1000), ('2024-02-01 00:01+00', 'reader', 1000);
	INSERT INTO cpu VALUES ('2024-01-10 00:01+00', 'late', 1), ('2024-02-20 00:01+00', 'new', 2), ('2024-01-02 00:01+00', 'gone', 1000);
});

my @views = ('hourly', 'daily', q{"It's ""odd"""}, 'finished', 'empty', 'renamed', 'private', 'private_daily');
sub rows
{
	my ($server, $database) = @_;
	return join("\n", map { $server->safe_psql($database, qq{SET timezone = 'UTC'; SELECT * FROM "Zoo of app".$_ v ORDER BY v}) } @views);
}
# What a role sees that row security hides rows from.
sub seen
{
	my ($server, $database) = @_;
	return $server->safe_psql($database, q{SET search_path = "Zoo of app"; SET ROLE reader;
	  SELECT who, count(*), sum(n) FROM private GROUP BY 1; SELECT who, count(*), sum(n) FROM private_daily GROUP BY 1});
}
my $state = q{SET timezone = 'UTC'; SELECT view_name, owner, source, bucket_column, bucket_width, bucket_timezone, materialized_only, watermark,
  materialization, direct FROM tsext.continuous_aggregates ORDER BY 1};
my $ownership = q{SELECT relname, relkind, relowner::regrole, relacl, obj_description(oid, 'pg_class') FROM pg_class
  WHERE relnamespace = '"Zoo of app"'::regnamespace AND relkind IN ('r', 'v') ORDER BY relname COLLATE "C"};
my $jobs = q{SELECT name, owner, proc_name, relation, schedule_interval, config FROM tsext.job WHERE id >= 1000};
my $gone = q{SELECT materialization, start, until FROM tsext.cagg_gone ORDER BY 1::text, 2};
my %expected = (
	rows => rows($node, 'postgres'),
	seen => seen($node, 'postgres'),
	map { $_->[0] => $node->safe_psql('postgres', $_->[1]) } [ 'state', $state ], [ 'ownership', $ownership ], [ 'jobs', $jobs ], [ 'gone', $gone ]);
is($expected{seen}, "reader|168|168167\nreader|8|168167", 'row security of the table');
like($expected{rows}, qr/late/, 'the view shows the late row');
like($expected{jobs}, qr/hourly/, 'there is a policy');
like($expected{gone}, qr/hourly_materialized/, 'the source of some buckets is gone');
cmp_ok($node->safe_psql('postgres', q{SELECT sum(pending) FROM tsext.continuous_aggregates}), '>', 0, 'the log is not empty');

my $base = $node->basedir;
$node->command_ok([ 'pg_dump', '-f', "$base/plain.sql", 'postgres' ], 'pg_dump writes SQL');
$node->command_ok([ 'pg_dump', '-Fc', '-f', "$base/custom.dump", 'postgres' ], 'pg_dump writes an archive');
$node->command_ok([ 'pg_dump', '-Fd', '-j', '2', '-f', "$base/directory.dump", 'postgres' ], 'pg_dump writes a directory');
$node->command_ok([ 'pg_dump', '-s', '-f', "$base/schema.sql", 'postgres' ], 'pg_dump --schema-only');
$node->command_ok([ 'pg_dump', '-a', '-f', "$base/data.sql", 'postgres' ], 'pg_dump --data-only');

my $fresh = PostgreSQL::Test::Cluster->new('cagg_fresh');
$fresh->init;
$fresh->append_conf('postgresql.conf', "tsext.compact_background = off");
$fresh->start;
$fresh->safe_psql('postgres', 'CREATE ROLE app; CREATE ROLE reader;');

# Everything is there; then it goes on living.
sub is_restored
{
	my ($database, $how) = @_;
	is(rows($fresh, $database), $expected{rows}, "$how: the views show the same rows");
	is(seen($fresh, $database), $expected{seen}, "$how: under row security they show the same, too");
	is($fresh->safe_psql($database, $state), $expected{state}, "$how: definitions and watermarks");
	is($fresh->safe_psql($database, $ownership), $expected{ownership}, "$how: owners, privileges, comments");
	is($fresh->safe_psql($database, $jobs), $expected{jobs}, "$how: policies");
	is($fresh->safe_psql($database, $gone), $expected{gone}, "$how: ranges whose source is gone");
	$fresh->safe_psql($database, qq{SET search_path = "Zoo of app", public; CALL refresh_continuous_aggregate('$_', NULL, NULL)})
	  foreach map { s/'/''/gr } @views;
	is($fresh->safe_psql($database, 'SELECT coalesce(sum(pending), 0) FROM tsext.continuous_aggregates'), 0, "$how: a refresh computes what is pending");
	is(seen($fresh, $database), $expected{seen}, "$how: row security of stored buckets");
	my ($as_app, $as_reader) = map { $fresh->safe_psql($database, qq{SET search_path = "Zoo of app"; BEGIN; $_; SET LOCAL ROLE reader; SELECT count(*) FROM private}) }
	  ('SELECT FROM cpu LIMIT 0', q{ALTER POLICY own ON secured USING (true)});
	is("$as_app $as_reader", '168 335', "$how: changes of policies go on being followed");
	$fresh->safe_psql($database, q{
		SET search_path = "Zoo of app", public;
		INSERT INTO cpu VALUES ('2024-01-11 00:01+00', 'late', 4), ('2024-03-01 00:01+00', 'newer', 8)});
	is($fresh->safe_psql($database, q{
		SET search_path = "Zoo of app", public;
		SELECT count(*) FROM (SELECT * FROM hourly WHERE bucket >= '2024-01-05' EXCEPT ALL SELECT * FROM hourly_direct) x;
		SELECT count(*) FROM (SELECT * FROM hourly_direct WHERE bucket >= '2024-01-05' EXCEPT ALL SELECT * FROM hourly) x;
		SELECT count(*) FROM daily WHERE host IN ('late', 'newer');
		SET ROLE reader;
		SELECT count(*) FROM hourly WHERE host IN ('late', 'newer')}), "0\n0\n3\n3", "$how: the views go on being exact");
}

$fresh->safe_psql('postgres', qq{CREATE DATABASE "$_"}) foreach qw(plain custom parallel directory twice);
$fresh->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$base/plain.sql", 'plain' ], 'psql restores');
is_restored('plain', 'psql');
$fresh->command_ok([ 'pg_restore', '-e', '-d', 'custom', "$base/custom.dump" ], 'pg_restore restores');
is_restored('custom', 'pg_restore');
$fresh->command_ok([ 'pg_restore', '-e', '-j', '2', '-d', 'parallel', "$base/custom.dump" ], 'pg_restore -j2 restores an archive');
is_restored('parallel', 'pg_restore -j2');
$fresh->command_ok([ 'pg_restore', '-e', '-j', '2', '-d', 'directory', "$base/directory.dump" ], 'pg_restore -j2 restores a directory');
is_restored('directory', 'pg_restore -j2 of a directory');
$fresh->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$base/schema.sql", 'twice' ], 'psql restores the schema');
$fresh->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$base/data.sql", 'twice' ], 'psql restores the data');
is_restored('twice', 'schema, then data');
$fresh->command_ok([ 'pg_restore', '-e', '--clean', '--if-exists', '-d', 'custom', "$base/custom.dump" ], 'pg_restore --clean --if-exists');
is_restored('custom', 'pg_restore --clean');

# The same definition comes out again. \\restrict has a random key.
sub definition
{
	my ($server, $database) = @_;
	$server->command_ok([ 'pg_dump', '-s', '-f', "$base/again.sql", $database ], "pg_dump --schema-only of $database");
	return join("\n", grep { !/^\\(un)?restrict / } split(/\n/, slurp_file("$base/again.sql")));
}
is(definition($fresh, 'directory'), definition($node, 'postgres'), 'the restored database has the same definition');

# Without the extension nothing is left.
$fresh->safe_psql('plain', 'DROP EXTENSION tsext CASCADE');
is($fresh->safe_psql('plain', $ownership =~ s/ORDER BY/AND relname NOT IN ('hosts', 'secured') ORDER BY/r), '', 'DROP EXTENSION CASCADE takes all parts');
$fresh->safe_psql('plain', 'CREATE EXTENSION tsext');
is($fresh->safe_psql('plain', 'SELECT count(*) FROM tsext.cagg'), 0, 'and the extension can come again');
# Nor after the role that owned all.
$fresh->safe_psql('twice', 'DROP OWNED BY app');
is($fresh->safe_psql('twice', 'SELECT (SELECT count(*) FROM tsext.cagg), (SELECT count(*) FROM tsext.cagg_gone), (SELECT count(*) FROM tsext.job WHERE id >= 1000)'),
	'0|0|0', 'DROP OWNED takes aggregates and their policies');
$fresh->safe_psql('parallel', 'REASSIGN OWNED BY app TO reader; ALTER MATERIALIZED VIEW "Zoo of app".hourly OWNER TO app');
is($fresh->safe_psql('parallel', q{SELECT owner FROM tsext.job WHERE relation = '"Zoo of app".hourly'::regclass}), 'app', 'policies follow the owner of the view');

$fresh->stop;
$node->stop;
done_testing();
