# Policies: a server killed anywhere in a retention run loses nothing and the next run completes; a dump keeps policies and the
# functions that tell integer time.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Waiting;

my $node = PostgreSQL::Test::Cluster->new('policy');
$node->init;
$node->append_conf('postgresql.conf', "tsext.compact_background = off\nrestart_after_crash = on\nautovacuum = off");
$node->start;

$node->safe_psql(
	'postgres', q{
	CREATE EXTENSION tsext;
	CREATE SCHEMA app;
	CREATE FUNCTION app.ticks() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT 10000::bigint';
	CREATE TABLE app.numbers (time bigint NOT NULL, v int) USING tsext WITH (tsext.time_column = time, tsext.chunk_interval = 100);
	CREATE TABLE twin (LIKE app.numbers) USING heap;
	INSERT INTO twin SELECT 10000 - g, g FROM generate_series(0, 4999) g;
	INSERT INTO app.numbers TABLE twin;
});
$node->safe_psql('postgres', q{SELECT rows_moved FROM tsext.compact('app.numbers', older_than => 6000)});
$node->safe_psql('postgres', q{SELECT set_integer_now_func('app.numbers', 'app.ticks')});
my $job = $node->safe_psql('postgres', q{SELECT add_retention_policy('app.numbers', 3900, initial_start => '2100-01-01')});
my $differences = q{SELECT count(*) FROM ((TABLE app.numbers EXCEPT ALL TABLE twin) UNION ALL (TABLE twin EXCEPT ALL TABLE app.numbers)) d};
my $stored = q{SELECT count(*) FROM tsext.segment WHERE store = (SELECT reltoastrelid FROM pg_class WHERE oid = 'app.numbers'::regclass)};
is($node->safe_psql('postgres', $differences), 0, 'the table has what its twin has');
cmp_ok($node->safe_psql('postgres', $stored), '>', 5, 'some of it is cold');

# Killed anywhere: as before. Each run would drop ten cold chunks and one hot.
for my $point (qw(retention_after_refresh retention_after_aggregates drop_after_segments retention_after_drop)) {
	my $err = '';
	ok(killed_by($node, "SET tsext.stop_point = '$point:crash'; CALL run_job($job)", \$err), "$point: the server was killed");
	like($err, qr/server closed the connection|connection to server was lost/, "$point: in the middle of the run");
	is($node->safe_psql('postgres', $differences), 0, "$point: nothing is half done");
}
for my $point (qw(retention_after_aggregates drop_after_segments retention_after_drop)) {
	my ($out, $err) = ('', '');
	$node->psql('postgres', "SET tsext.stop_point = '$point:error'; CALL run_job($job)", stdout => \$out, stderr => \$err);
	like($err, qr/$point/, "$point: an error");
	is($node->safe_psql('postgres', $differences), 0, "$point: nothing is half done after an error");
}
$node->safe_psql('postgres', "CALL run_job($job)");
$node->safe_psql('postgres', 'DELETE FROM twin WHERE time < 6100');
is($node->safe_psql('postgres', $differences), 0, 'the next run completes');
is($node->safe_psql('postgres', "SELECT outcome, rows FROM tsext.job_runs WHERE job_id = $job ORDER BY run_id DESC LIMIT 1"),
	'succeeded|11', 'and tells what it dropped');

# The file does not grow: space of dropped chunks is used again.
my $size = sub { $node->safe_psql('postgres', q{VACUUM app.numbers; SELECT pg_total_relation_size('app.numbers')}) };
my $fill = q{INSERT INTO app.numbers SELECT g, g FROM generate_series(5001, 6099) g};
$node->safe_psql('postgres', $fill);
$node->safe_psql('postgres', q{SELECT rows_moved FROM tsext.compact('app.numbers', older_than => 6100)});
$node->safe_psql('postgres', "CALL run_job($job)");
my $before = $size->();
for (1 .. 5) {
	$node->safe_psql('postgres', $fill);
	$node->safe_psql('postgres', q{SELECT rows_moved FROM tsext.compact('app.numbers', older_than => 6100)});
	$node->safe_psql('postgres', "CALL run_job($job)");
	$node->safe_psql('postgres', 'VACUUM app.numbers');
}
cmp_ok($size->(), '<=', $before * 1.2, 'space is used again');

# Dump and restore.
keep_off_the_hour();
$node->safe_psql(
	'postgres', q{
	ALTER FUNCTION app.ticks() RENAME TO "Ticks";
	CREATE TABLE points (time timestamptz NOT NULL, v int) USING tsext WITH (tsext.chunk_interval = '1 day');
	INSERT INTO points SELECT date_trunc('hour', now()) - g * interval '1 hour', g FROM generate_series(0, 239) g;
	SELECT add_retention_policy('points', '4 days', initial_start => '2100-01-01', timezone => 'Europe/Berlin');
	SELECT add_columnstore_policy('points', interval '2 days', initial_start => '2100-01-01');
	CREATE MATERIALIZED VIEW app."daily points" WITH (tsext.continuous) AS
	  SELECT time_bucket('1 day', time) AS bucket, count(*) AS n, sum(v) AS s FROM points GROUP BY 1 WITH NO DATA;
	SELECT add_continuous_aggregate_policy('app."daily points"', '1 month', '1 hour', '1 day', initial_start => '2100-01-01');
	SELECT add_retention_policy('app."daily points"', '1 year', initial_start => '2100-01-01');
	-- what has no name any more is not dumped
	CREATE FUNCTION app.gone() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT 1::bigint';
	CREATE TABLE app.left (time bigint) USING tsext WITH (tsext.time_column = time);
	SELECT set_integer_now_func('app.left', 'app.gone');
	DROP FUNCTION app.gone();
	CREATE TABLE app.dropped (time bigint) USING tsext WITH (tsext.time_column = time);
	SELECT set_integer_now_func('app.dropped', 'app."Ticks"');
	DROP TABLE app.dropped;
});
my $policies = q{SELECT proc_name, relation, owner, schedule_interval, timezone, initial_start, config FROM tsext.jobs
  WHERE proc_name LIKE 'policy%' ORDER BY proc_name, relation::text};
my $expected = $node->safe_psql('postgres', $policies);
is(scalar(split /\n/, $expected), 5, 'there are five policies');
my $dump = $node->basedir . '/policy.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, 'postgres' ], 'pg_dump');
like(slurp_file($dump), qr/COPY tsext\.integer_now[^\n]*\napp\.numbers\tapp\."Ticks"\(\)\n\\\./, 'by name, and only what is there');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, 'restored' ], 'restored without an error');
is($node->safe_psql('restored', $policies), $expected, 'policies come back');
is($node->safe_psql('restored', 'SELECT relation, function FROM tsext.integer_now'), 'app.numbers|app."Ticks"()', 'and the function');
is($node->safe_psql('restored', $differences), 0, 'and the rows');
$node->safe_psql('restored', $fill);
$node->safe_psql('restored', "CALL run_job($job)");
is($node->safe_psql('restored', $differences), 0, 'the policy runs there');
my $job_of = sub {
	my ($relation, $procedure) = @_;
	return $node->safe_psql('restored', "SELECT job_id FROM tsext.jobs WHERE relation = '$relation'::regclass AND proc_name = '$procedure'");
};
my $daily = q{SELECT count(*), sum(n), sum(s) FROM app."daily points"};
my $before_refresh = $node->safe_psql('restored', $daily);
$node->safe_psql('restored', 'CALL run_job(' . $job_of->('app."daily points"', 'policy_refresh') . ')');
cmp_ok($node->safe_psql('restored', 'SELECT count(*) FROM app."daily points_materialized"'), '>=', 9, 'a refresh policy, too');
$node->safe_psql('restored', 'CALL run_job(' . $job_of->('app."daily points"', 'policy_retention') . ')');
my $retention = $job_of->('points', 'policy_retention');
$node->safe_psql('restored', "CALL run_job($retention)");
is($node->safe_psql('restored', q{SELECT min(time) >= date_trunc('day', now() - interval '4 days', 'UTC') FROM points}), 't', 'the other, too');
is($node->safe_psql('restored', $daily), $before_refresh, 'and the aggregate keeps its buckets');
my $columnstore = $job_of->('points', 'policy_columnstore');
$node->safe_psql('restored', "CALL run_job($columnstore)");
is($node->safe_psql('restored', q{SELECT DISTINCT level FROM tsext.segment WHERE store = (SELECT reltoastrelid FROM pg_class WHERE relname = 'points')}),
	'2', 'and the columnstore policy');
my ($out, $err) = ('', '');
$node->psql('restored', q{SELECT add_retention_policy('app.left', 5)}, stdout => \$out, stderr => \$err);
like($err, qr/nothing tells the current time of table "left"/, 'a table that lost its function says so');
$node->psql('postgres', q{SELECT add_retention_policy('app.left', 5)}, stdout => \$out, stderr => \$err);
like($err, qr/does not exist any more/, 'in the old database as well');
# ids that were given out there are not given out again
cmp_ok($node->safe_psql('restored', q{SELECT add_retention_policy('app.left', 5) FROM set_integer_now_func('app.left', 'app."Ticks"')}),
	'>', $columnstore, 'new jobs get new ids');

# Retention below continuous aggregates, killed at every step, round by round: each time new rows come and old ones must go.
# Chunks of 100 in one table, of automatic width, so far wider, in the other. TSEXT_KILL_ROUNDS: how many rounds.
my $rounds = $ENV{TSEXT_KILL_ROUNDS} // 1;
my %tables = (
	narrow => {
		unit => 1,
		points => [qw(retention_after_refresh source_after_aggregate retention_after_aggregates drop_after_segments retention_after_drop)]
	},
	auto => {
		unit => 8640000000,    # a tenth of the narrowest chunk
		points => [qw(retention_after_refresh source_after_aggregate remove_after_delete remove_after_write retention_after_part)]
	});
$node->safe_psql('postgres', q{CREATE SCHEMA kill; CREATE TABLE kill.clock (ticks bigint); INSERT INTO kill.clock VALUES (0)});
for my $name (sort keys %tables) {
	my $unit = $tables{$name}{unit};
	my $interval = $name eq 'narrow' ? '100' : 'auto';
	$node->safe_psql('postgres', $_)
	  for "CREATE FUNCTION kill.${name}_now() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT ticks * $unit FROM kill.clock'",
	  "CREATE TABLE kill.$name (time bigint NOT NULL, v int) USING tsext WITH (tsext.time_column = time, tsext.chunk_interval = '$interval')",
	  "CREATE TABLE kill.${name}_twin (LIKE kill.$name) USING heap",
	  "SELECT set_integer_now_func('kill.$name', 'kill.${name}_now')",
	  "CREATE MATERIALIZED VIEW kill.${name}_tens WITH (tsext.continuous) AS SELECT time_bucket(10 * $unit, time) AS bucket, count(*) AS n, sum(v) AS s
	    FROM kill.$name GROUP BY 1 WITH NO DATA",
	  "CREATE MATERIALIZED VIEW kill.${name}_hundreds WITH (tsext.continuous) AS SELECT time_bucket(100 * $unit, bucket) AS bucket, sum(n) AS n, sum(s) AS s
	    FROM kill.${name}_tens GROUP BY 1 WITH NO DATA";
	$tables{$name}{job} = $node->safe_psql('postgres', "SELECT add_retention_policy('kill.$name', 1000 * $unit, initial_start => '2100-01-01')");
}
my $kills = 0;
my $wrong = 0;
my $look = sub {
	my ($name, $moment, $done) = @_;
	my $unit = $tables{$name}{unit};
	my $kept = "time >= ((SELECT ticks FROM kill.clock) - 1000) * $unit";
	my $rows = $done
	  ? "(SELECT * FROM kill.${name}_twin WHERE $kept EXCEPT ALL TABLE kill.$name) UNION ALL (TABLE kill.$name EXCEPT ALL SELECT * FROM kill.${name}_twin WHERE $kept)"
	  : "(SELECT * FROM kill.${name}_twin WHERE $kept EXCEPT ALL TABLE kill.$name) UNION ALL (TABLE kill.$name EXCEPT ALL TABLE kill.${name}_twin)";
	my $tens = "SELECT time_bucket(10 * $unit, time), count(*), sum(v) FROM kill.${name}_twin GROUP BY 1";
	my $hundreds = "SELECT time_bucket(100 * $unit, time), count(*)::numeric, sum(v)::numeric FROM kill.${name}_twin GROUP BY 1";
	my $result = $node->safe_psql('postgres', "SELECT (SELECT count(*) FROM ($rows) d),
	  (SELECT count(*) FROM (($tens EXCEPT ALL TABLE kill.${name}_tens) UNION ALL (TABLE kill.${name}_tens EXCEPT ALL $tens)) d),
	  (SELECT count(*) FROM (($hundreds EXCEPT ALL TABLE kill.${name}_hundreds) UNION ALL (TABLE kill.${name}_hundreds EXCEPT ALL $hundreds)) d)");
	return if $result eq '0|0|0';
	$wrong++;
	diag("$name, $moment: $result");
};
for my $round (1 .. $rounds) {
	for my $name (sort keys %tables) {
		my ($unit, $job) = @{ $tables{$name} }{qw(unit job)};
		for my $point (@{ $tables{$name}{points} }) {
			$node->safe_psql('postgres', "UPDATE kill.clock SET ticks = ticks + 700;
			  INSERT INTO kill.${name}_twin SELECT (ticks - g) * $unit, g FROM kill.clock, generate_series(1, 700) g;
			  INSERT INTO kill.$name SELECT (ticks - g) * $unit, g FROM kill.clock, generate_series(1, 700) g");
			$node->safe_psql('postgres', "SELECT rows_moved FROM tsext.compact('kill.$name')") if $kills % 3 != 2;
			$node->safe_psql('postgres', "CALL refresh_continuous_aggregate('kill.${name}_tens', NULL, NULL)") if $kills % 2 == 0;
			$kills++ if killed_by($node, "SET tsext.stop_point = '$point:crash'; CALL run_job($job)", \my $ignored);
			$look->($name, "$point, round $round", 0);
		}
		$node->safe_psql('postgres', "CALL run_job($job)");
		$look->($name, "round $round", 1);
	}
}
is($wrong, 0, "killed $kills times, the aggregates are right and the next run completes");
cmp_ok($kills, '>=', 8 * $rounds, 'killed at nearly every step');

keep_off_the_hour();
# On schedule, as a role that owns nothing but its table.
$node->safe_psql(
	'postgres', q{
	CREATE ROLE keeper LOGIN;
	CREATE SCHEMA keeper AUTHORIZATION keeper;
	SET ROLE keeper;
	SET search_path = keeper, public;
	CREATE TABLE log (time timestamptz NOT NULL, v int) USING tsext WITH (tsext.chunk_interval = '1 day');
	INSERT INTO log SELECT date_trunc('hour', now()) - g * interval '1 hour', g FROM generate_series(1, 960) g;
	CREATE MATERIALIZED VIEW daily WITH (tsext.continuous) AS SELECT time_bucket('1 day', time) AS bucket, count(*) AS n, sum(v) AS s
	  FROM log GROUP BY 1 WITH NO DATA;
	CREATE TABLE twin AS SELECT time_bucket('1 day', time) AS bucket, count(*) AS n, sum(v) AS s FROM log GROUP BY 1;
	SELECT add_continuous_aggregate_policy('daily', start_offset => NULL, end_offset => interval '1 hour', schedule_interval => interval '1 s');
	SELECT add_columnstore_policy('log', after => interval '10 days', schedule_interval => interval '1 s');
	SELECT add_retention_policy('log', drop_after => interval '30 days', schedule_interval => interval '1 s');
});
ok($node->poll_query_until('postgres', q{SELECT min(time) >= now() - interval '31 days' FROM keeper.log}), 'the scheduler drops old chunks');
ok($node->poll_query_until('postgres', q{SELECT count(*) > 25 FROM keeper.daily_materialized}), 'and refreshes');
ok( $node->poll_query_until('postgres', q{SELECT count(*) >= 10 AND min(level) = 2 FROM tsext.segment
	  WHERE store = (SELECT reltoastrelid FROM pg_class WHERE oid = 'keeper.log'::regclass)}), 'and compresses');
is( $node->safe_psql('postgres', q{SELECT count(*) FROM ((TABLE keeper.daily EXCEPT ALL TABLE keeper.twin) UNION ALL (TABLE keeper.twin EXCEPT ALL TABLE keeper.daily)) d}),
	0, 'the aggregate is right');
is($node->safe_psql('postgres', q{SELECT DISTINCT owner, outcome FROM tsext.job_runs WHERE owner = 'keeper' AND outcome <> 'running'}), 'keeper|succeeded', 'no run failed');
# Policies follow their table to another owner; its aggregate stays, and fails visibly.
my $last_run = $node->safe_psql('postgres', 'ALTER TABLE keeper.log OWNER TO CURRENT_USER; SELECT max(run_id) FROM tsext.job_runs');
ok( $node->poll_query_until('postgres', qq{SELECT count(DISTINCT job_id) = 2 FROM tsext.job_runs
	  WHERE owner = 'postgres' AND outcome = 'succeeded' AND run_id > $last_run}), 'the policies of the table run as its new owner');
$node->safe_psql('postgres', q{INSERT INTO keeper.log VALUES (now() - interval '5 days', 1)});
ok( $node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM tsext.job_runs
	  WHERE owner = 'keeper' AND outcome = 'failed' AND sqlstate = '42501'}), 'that of the aggregate must not read it any more');
$node->safe_psql('postgres', q{DROP MATERIALIZED VIEW keeper.daily});
$node->safe_psql('postgres', q{DROP TABLE keeper.log});
is($node->safe_psql('postgres', q{SELECT count(*) FROM tsext.jobs WHERE owner = 'keeper'}), 0, 'policies go with the table');

$node->stop;
done_testing();
