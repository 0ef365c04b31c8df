# kill -9 at every step of a refresh and of drop_chunks below continuous aggregates: after the restart the views equal the queries
# over the table, and the next refresh leaves nothing to be done. Then random kills while several sessions write and refresh.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep time);
use Waiting;

my $node = PostgreSQL::Test::Cluster->new('cagg_crash');
$node->init;
$node->append_conf('postgresql.conf', q{
restart_after_crash = off
tsext.compact_background = off
autovacuum = off
fsync = off
jit = off
timezone = 'UTC'
datestyle = 'ISO'
});
$node->start;
$node->safe_psql('postgres', q{
CREATE EXTENSION tsext;
CREATE TABLE cpu (time timestamptz NOT NULL, host text, usage int) USING tsext;
SELECT tsext.set_options('cpu', chunk_interval => interval '1 day');
CREATE MATERIALIZED VIEW hourly WITH (tsext.continuous) AS
  SELECT time_bucket('1 hour', time) AS bucket, host, count(*), sum(usage), max(usage) FROM cpu GROUP BY 1, 2 WITH NO DATA;
CREATE MATERIALIZED VIEW daily WITH (tsext.continuous) AS
  SELECT time_bucket('1 day', bucket) AS bucket, sum(count) AS rows, sum(sum) FROM hourly GROUP BY 1 WITH NO DATA;
CREATE FUNCTION differences() RETURNS int8 LANGUAGE sql AS $$
  SELECT (SELECT count(*) FROM (TABLE hourly EXCEPT ALL TABLE hourly_direct) d) + (SELECT count(*) FROM (TABLE hourly_direct EXCEPT ALL TABLE hourly) d)
       + (SELECT count(*) FROM (TABLE daily EXCEPT ALL TABLE daily_direct) d) + (SELECT count(*) FROM (TABLE daily_direct EXCEPT ALL TABLE daily) d) $$;
CREATE FUNCTION pending() RETURNS int8 LANGUAGE sql AS 'SELECT count(*) FROM tsext.cagg_log'});

my $start = '2024-01-01 00:00+00';
my $rows = 0;
# Rows at the end and late ones, below and above what is materialised.
sub fill
{
	my ($count) = @_;
	$node->safe_psql('postgres', qq{
INSERT INTO cpu SELECT '$start'::timestamptz + g * interval '10 min', 'host_' || g % 3, g FROM generate_series($rows, $rows + $count - 1) g;
INSERT INTO cpu SELECT '$start'::timestamptz + (g % greatest($rows, 1)) * interval '9 min', 'late', g FROM generate_series($rows, $rows + $count, 20) g;
UPDATE cpu SET usage = -usage WHERE host = 'late' AND usage % 3 = 0 AND time > '$start'::timestamptz + ($rows - 200) * interval '10 min'});
	$rows += $count;
	return;
}

sub crash_at
{
	my ($point, $sql) = @_;
	my ($status) = $node->psql('postgres', $sql, extra_params => [], connstr => $node->connstr('postgres') . " options='-c tsext.stop_point=$point:crash'");
	isnt($status, 0, "$point: the server died");
	start_again($node);
	return;
}

sub refresh_all
{
	$node->safe_psql('postgres', "CALL refresh_continuous_aggregate('$_', NULL, '2040-01-01')") for qw(hourly daily);
	return;
}

my @points = qw(refresh_before_threshold refresh_after_threshold refresh_between refresh_after_snapshot refresh_after_remove refresh_after_insert refresh_before_commit);
fill(1000);
for my $round (1 .. 3)
{
	for my $point (@points)
	{
		fill(60);
		my $view = $round == 2 ? 'daily' : 'hourly';
		crash_at($point, "CALL refresh_continuous_aggregate('$view', NULL, '2040-01-01')");
		is($node->safe_psql('postgres', 'SELECT differences()'), '0', "$point, round $round: the views are right after the crash");
		refresh_all();
		is($node->safe_psql('postgres', 'SELECT differences() || $$ $$ || pending()'), '0 0', "$point, round $round: the next refresh completes");
	}
	$node->safe_psql('postgres', q{SELECT tsext.compact('hourly_materialized'), tsext.compact('daily_materialized'), tsext.compact('cpu')});
}
is($node->safe_psql('postgres', q{SELECT (SELECT count(*) FROM tsext.verify('hourly_materialized')) + (SELECT count(*) FROM tsext.verify('cpu'))}), '0', 'tsext.verify() finds nothing');
is($node->safe_psql('postgres', 'SELECT sum(count) = (SELECT count(*) FROM cpu) FROM hourly_materialized'), 't', 'all rows are in the buckets, once');

# The source goes: before and after, the views are what they were.
$node->safe_psql('postgres', 'CREATE TABLE hourly_before AS TABLE hourly; CREATE TABLE daily_before AS TABLE daily');
my $kept = q{SELECT (SELECT count(*) FROM (TABLE hourly EXCEPT ALL TABLE hourly_before) d) + (SELECT count(*) FROM (TABLE hourly_before EXCEPT ALL TABLE hourly) d)
  + (SELECT count(*) FROM (TABLE daily EXCEPT ALL TABLE daily_before) d) + (SELECT count(*) FROM (TABLE daily_before EXCEPT ALL TABLE daily) d)};
my $cut = 2;
for my $point (qw(source_after_aggregate retention_after_aggregates drop_after_segments refresh_after_remove refresh_after_insert))
{
	my $until = "'$start'::timestamptz + interval '$cut days'";
	$node->safe_psql('postgres', "INSERT INTO cpu VALUES ($until - interval '5 hours', 'late', 1); DROP TABLE hourly_before, daily_before;
		CREATE TABLE hourly_before AS TABLE hourly; CREATE TABLE daily_before AS TABLE daily");
	my $chunks = $node->safe_psql('postgres', q{SELECT count(*) FROM show_chunks('cpu')});
	crash_at($point, "SELECT drop_chunks('cpu', older_than => $until)");
	is($node->safe_psql('postgres', $kept), '0', "$point: the views are what they were");
	is($node->safe_psql('postgres', q{SELECT count(*) FROM show_chunks('cpu')}), $chunks, "$point: nothing is dropped");
	is($node->safe_psql('postgres', 'SELECT count(*) FROM tsext.cagg_gone'), $cut == 2 ? '0' : '2', "$point: nothing new is marked");
	$node->safe_psql('postgres', "SELECT drop_chunks('cpu', older_than => $until)");
	is($node->safe_psql('postgres', $kept), '0', "$point: nor after dropping");
	refresh_all();
	is($node->safe_psql('postgres', $kept), '0', "$point: nor after a refresh");
	is($node->safe_psql('postgres', 'SELECT pending()'), '0', "$point: nothing is left to be done");
	$cut += 2;
}

# Who holds the lock is named, and the refresh gives up.
my $holder = $node->background_psql('postgres');
my $pid = $holder->query_safe('SELECT pg_backend_pid()');
$holder->query_safe('BEGIN; LOCK TABLE hourly IN ROW SHARE MODE');
fill(200);
my $began = time;
my ($status, $out, $err) = $node->psql('postgres', q{CALL refresh_continuous_aggregate('hourly', NULL, '2040-01-01')});
isnt($status, 0, 'a refresh does not wait for ever');
like($err, qr/could not get a lock on continuous aggregate "hourly"\nDETAIL:  It is held by process $pid\./, 'and says for whom it waited');
cmp_ok(time - $began, '>', 5, 'but for some seconds');
is($node->safe_psql('postgres', 'SELECT count(*) > 0 FROM hourly; INSERT INTO cpu VALUES (now(), $$new$$, 1); SELECT 1'), "t\n1", 'nobody else waits meanwhile');
$holder->query_safe('COMMIT');
$holder->quit;
# A cancelled refresh leaves the state of before.
($status, $out, $err) = $node->psql('postgres', q{SELECT pg_advisory_lock(1); SET statement_timeout = '180s'; SET tsext.stop_point = 'refresh_after_remove:wait:2';
	CALL refresh_continuous_aggregate('hourly', NULL, '2040-01-01')});
is($status, 0, 'a stop point that nobody holds does not stop');
my $waiter = $node->background_psql('postgres');
$waiter->query_safe('SELECT pg_advisory_lock(2)');
fill(100);
my $before = $node->safe_psql('postgres', 'TABLE hourly_materialized ORDER BY bucket, host');
my $cancelled = $node->background_psql('postgres', on_error_stop => 0);
my $cancelled_pid = $cancelled->query_safe('SELECT pg_backend_pid()');
$cancelled->query_until(qr/begins/, q{SET tsext.stop_point = 'refresh_after_remove:wait:2';
\echo begins
CALL refresh_continuous_aggregate('hourly', NULL, '2040-01-01');
});
ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_locks WHERE pid = $cancelled_pid AND locktype = 'advisory' AND NOT granted"), 'a refresh is under way');
is($node->safe_psql('postgres', "SELECT pg_cancel_backend($cancelled_pid)"), 't', 'it is cancelled');
ok(wait_until(sub { $cancelled->query('SELECT 1'); $cancelled->{stderr} =~ /canceling statement due to user request/ }), 'which ends it');
is($node->safe_psql('postgres', 'TABLE hourly_materialized ORDER BY bucket, host'), $before, 'and leaves the buckets as they were');
$cancelled->quit;
$waiter->quit;
$node->safe_psql('postgres', 'DROP TABLE hourly_before, daily_before');
refresh_all();

# Many writers do not keep a refresh from its lock. Then random kills under their load.
$node->append_conf('postgresql.conf', "fsync = on\n");
$node->restart;
my $script = $node->basedir . '/write.sql';
append_to_file($script, "INSERT INTO cpu SELECT now() - random() * interval '3 hours', 'load', 1 FROM generate_series(1, 5);\n");
my $refresh = $node->basedir . '/refresh.sql';
append_to_file($refresh, "CALL refresh_continuous_aggregate('hourly', NULL, '2040-01-01');\nCALL refresh_continuous_aggregate('daily', now() - interval '3 days', '2040-01-01');\n");
my $exact = q{SELECT (SELECT count(*) FROM (SELECT * FROM hourly WHERE bucket > now() - interval '2 days' EXCEPT ALL SELECT * FROM hourly_direct WHERE bucket > now() - interval '2 days') d)
  + (SELECT count(*) FROM (SELECT * FROM hourly_direct WHERE bucket > now() - interval '2 days' EXCEPT ALL SELECT * FROM hourly WHERE bucket > now() - interval '2 days') d)};
for my $round (1 .. 3)
{
	my (@out, @err);
	my @load = map {
		my ($clients, $file) = @{ ([ 6, $script ], [ 2, $refresh ])[$_] };
		IPC::Run::start([ 'pgbench', '-n', '-c', $clients, '-T', 600, '-f', $file, '-h', $node->host, '-p', $node->port, 'postgres' ], '>', \$out[$_], '2>', \$err[$_]);
	} 0 .. 1;
	usleep(2_000_000 + 300_000 * $round);
	my $pid = (split /\n/, slurp_file($node->data_dir . '/postmaster.pid'))[0];
	kill 'KILL', $pid;
	$_->finish for @load;
	unlike($err[1], qr/ERROR/, "kill $round: no refresh failed before");
	start_again($node);
	is($node->safe_psql('postgres', $exact), '0', "kill $round: the view is right");
	refresh_all();
	is($node->safe_psql('postgres', "$exact; SELECT pending()"), "0\n0", "kill $round: the next refresh completes");
}
$node->stop;
done_testing();
