# Options are part of a table's definition: pg_dump writes them, and every way of restoring brings them back, also into
# databases whose server does not preload the library. Rows come back too.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('dump');
$node->init;
$node->start;
$node->safe_psql(
	'postgres', q{
	CREATE EXTENSION tsext;
	CREATE SCHEMA "Odd schema";
	CREATE TABLE cpu (time timestamptz NOT NULL, host text, usage float8) USING tsext
	  WITH (tsext.chunk_interval = '12 hours', tsext.segment_by = 'host', tsext.order_by = 'time', tsext.decoded = off);
	-- Eighths: their sum is the same in every order.
	INSERT INTO cpu SELECT timestamptz '2024-01-01 00:00+00' + g * interval '1 s', 'host_' || g % 5, g / 8.0 FROM generate_series(1, 100000) g;
	CREATE TABLE "Odd schema"."It's, {odd}" (v int, "a ""b"", c" bigint NOT NULL, "time" timestamptz) USING tsext;
	SELECT tsext.set_options('"Odd schema"."It''s, {odd}"', time_column => 'a "b", c', chunk_interval => 1000, segment_by => '{v}');
	INSERT INTO "Odd schema"."It's, {odd}" SELECT g % 3, g * 10, now() FROM generate_series(1, 500) g;
	CREATE TABLE by_default (time timestamptz, v int) USING tsext;
	INSERT INTO by_default VALUES ('2024-01-01', 1), (NULL, 2), ('infinity', 3);
	CREATE TABLE parent (time timestamptz, v int) PARTITION BY RANGE (time);
	CREATE TABLE part PARTITION OF parent DEFAULT USING tsext WITH (tsext.chunk_interval = '7 days');
	INSERT INTO parent SELECT timestamptz '2024-02-01' + g * interval '1 day', g FROM generate_series(1, 50) g;
	CREATE MATERIALIZED VIEW hourly USING tsext WITH (tsext.chunk_interval = '30 days') AS
	  SELECT date_trunc('hour', time) AS hour, avg(usage) FROM cpu GROUP BY 1;
	CREATE TABLE renamed (at date, host text) USING tsext WITH (tsext.segment_by = 'host');
	ALTER TABLE renamed RENAME host TO "Host";
});

cmp_ok($node->safe_psql('postgres', q{SELECT cold_rows FROM tsext.tables WHERE table_name = 'cpu'}), '>', 0, 'some rows are cold');

my $options = q{SELECT schema_name, table_name, time_column, chunk_interval, segment_by, segment_by_origin, order_by, decoded
  FROM tsext.options ORDER BY 1, 2};
my $rows = q{SELECT (SELECT count(*) || ' ' || sum(usage) || ' ' || max(time AT TIME ZONE 'UTC') FROM cpu),
  (SELECT count(*) || ' ' || sum("a ""b"", c") FROM "Odd schema"."It's, {odd}"), (SELECT string_agg(v::text, ',' ORDER BY v) FROM by_default),
  (SELECT sum(v) FROM parent), (SELECT count(*) FROM hourly)};
my $expected_options = $node->safe_psql('postgres', $options);
my $expected_rows = $node->safe_psql('postgres', $rows);
is(scalar(split(/\n/, $expected_options)), 6, 'six tables have options');

my $plain = $node->basedir . '/plain.sql';
my $custom = $node->basedir . '/custom.dump';
my $directory = $node->basedir . '/directory.dump';
$node->command_ok([ 'pg_dump', '-f', $plain, 'postgres' ], 'pg_dump writes SQL');
$node->command_ok([ 'pg_dump', '-Fc', '-f', $custom, 'postgres' ], 'pg_dump writes an archive');
$node->command_ok([ 'pg_dump', '-Fd', '-j', '2', '-f', $directory, 'postgres' ], 'pg_dump writes a directory');
my $dump = slurp_file($plain);
like($dump, qr/SECURITY LABEL FOR tsext ON TABLE public\.cpu IS 'time_column=time, chunk_interval=12 hours, segment_by=\{host\}/,
	'the dump names the options');
unlike($dump, qr/COPY tsext\.(segment|tombstone|store_total|chunk_hold|job_state|job_run) /, 'the directory is not dumped');

# A second server that does not preload the library: creating a table loads it.
my $fresh = PostgreSQL::Test::Cluster->new('fresh');
$fresh->init;
$fresh->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$fresh->start;
is($fresh->safe_psql('postgres', 'SHOW shared_preload_libraries'), '', 'the second server preloads nothing');

sub is_restored
{
	my ($database, $how) = @_;
	is($fresh->safe_psql($database, $options), $expected_options, "options are back after $how");
	is($fresh->safe_psql($database, $rows), $expected_rows, "rows are back after $how");
}

$fresh->safe_psql('postgres', qq{CREATE DATABASE "$_"}) foreach qw(plain custom parallel jobs only clean twice);
$fresh->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $plain, 'plain' ], 'psql restores');
is_restored('plain', 'psql');
$fresh->command_ok([ 'pg_restore', '-e', '-d', 'custom', $custom ], 'pg_restore restores');
is_restored('custom', 'pg_restore');
$fresh->command_ok([ 'pg_restore', '-e', '-j', '2', '-d', 'parallel', $custom ], 'pg_restore -j2 restores an archive');
is_restored('parallel', 'pg_restore -j2');
$fresh->command_ok([ 'pg_restore', '-e', '-j', '2', '-d', 'jobs', $directory ], 'pg_restore -j2 restores a directory');
is_restored('jobs', 'pg_restore -j2 of a directory');

# One table only, into a database that has the extension.
my $only_table = $node->basedir . '/only.sql';
$node->command_ok([ 'pg_dump', '-t', 'cpu', '-f', $only_table, 'postgres' ], 'pg_dump -t');
$fresh->safe_psql('only', 'CREATE EXTENSION tsext');
$fresh->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $only_table, 'only' ], 'psql restores one table');
is($fresh->safe_psql('only', $options), join('', grep { /^public\|cpu\|/ } split(/\n/, $expected_options)),
	'one table has its options');
is($fresh->safe_psql('only', 'SELECT count(*), sum(usage) FROM cpu'), '100000|625006250', 'and its rows');

# Over what is there, and the restored database has the same definition.
$fresh->command_ok([ 'pg_restore', '-e', '-d', 'clean', $custom ], 'pg_restore once');
$fresh->command_ok([ 'pg_restore', '-e', '--clean', '-d', 'clean', $custom ], 'pg_restore --clean over it');
is_restored('clean', 'pg_restore --clean');
# \\restrict has a random key.
sub definition
{
	my ($server, $database, $file) = @_;
	$server->command_ok([ 'pg_dump', '--schema-only', '-f', $file, $database ], "pg_dump --schema-only of $database");
	return join("\n", grep { !/^\\(un)?restrict / } split(/\n/, slurp_file($file)));
}
my $schema = $node->basedir . '/schema.sql';
my $again = $node->basedir . '/again.sql';
is(definition($fresh, 'clean', $again), definition($node, 'postgres', $schema), 'the restored database has the same definition');

# Schema first, data later, as upgrades and replicas do.
my $data = $node->basedir . '/data.sql';
$node->command_ok([ 'pg_dump', '--data-only', '-f', $data, 'postgres' ], 'pg_dump --data-only');
$fresh->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $schema, 'twice' ], 'psql restores the schema');
is($fresh->safe_psql('twice', $options), $expected_options, 'options come with the schema');
$fresh->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $data, 'twice' ], 'psql restores the data');
$fresh->safe_psql('twice', 'REFRESH MATERIALIZED VIEW hourly');
is_restored('twice', 'schema and data');

$fresh->stop;
$node->stop;
done_testing();
