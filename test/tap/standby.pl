# A hot standby of a primary with continuous aggregates, policies and alerts answers what the primary does at the same point of the log, runs no
# job and refuses what writes; promoted, it takes everything over. The same of a standby of the standby, and of a copy restored to a point in time.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Waiting;

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1, has_archiving => 1);
$primary->append_conf('postgresql.conf', "max_worker_processes = 16\ntsext.compact_background = off\nautovacuum = off\nmax_prepared_transactions = 5\nlog_statement = none\ntimezone = 'UTC'\nwal_consistency_checking = 'all'");
$primary->start;
sub sql { my ($sql) = @_; return $primary->safe_psql('postgres', $sql); }

my $far = q{initial_start => '2100-01-01'};
sql(qq{
CREATE EXTENSION tsext;
CREATE TABLE t (time timestamptz NOT NULL, host text, v int) USING tsext WITH (tsext.chunk_interval = '1 day', tsext.segment_by = 'host');
CREATE FUNCTION fill(a int, b int) RETURNS void LANGUAGE sql AS \$\$
  INSERT INTO t SELECT '2024-01-01'::timestamptz + g * interval '1 min', 'host_' || g % 5, g FROM generate_series(a, b) g \$\$;
SELECT fill(1, 12000);
SELECT tsext.compact('t');
CREATE MATERIALIZED VIEW hourly WITH (tsext.continuous) AS SELECT time_bucket('1 hour', time) AS bucket, host, count(*) AS n, sum(v) AS total, max(v) AS most FROM t GROUP BY 1, 2 WITH NO DATA;
CREATE MATERIALIZED VIEW daily WITH (tsext.continuous) AS SELECT time_bucket('1 day', bucket) AS bucket, host, sum(n) AS n, sum(total) AS total, max(most) AS most FROM hourly GROUP BY 1, 2 WITH NO DATA;
CREATE VIEW hourly_query AS SELECT time_bucket('1 hour', time) AS bucket, host, count(*) AS n, sum(v) AS total, max(v) AS most FROM t GROUP BY 1, 2;
CREATE VIEW daily_query AS SELECT time_bucket('1 day', time) AS bucket, host, count(*) AS n, sum(v) AS total, max(v) AS most FROM t GROUP BY 1, 2;
CREATE TABLE note (job int, at timestamptz DEFAULT clock_timestamp(), pid int DEFAULT pg_backend_pid());
CREATE PROCEDURE take_note(job_id int, config jsonb) LANGUAGE sql AS 'INSERT INTO note (job) VALUES (job_id)';
CREATE TABLE load (host text, usage int); INSERT INTO load VALUES ('a', 99);
SELECT add_continuous_aggregate_policy('hourly', NULL, '1 hour', '1 day', $far);
SELECT add_retention_policy('t', '10000 days', $far);});
my $tick = sql("SELECT add_job('take_note', '1 s')");
my $daily = sql("SELECT add_job('take_note', '1 day')");
sql(q{SELECT tsext.create_alert('busy', 'SELECT host, usage AS value FROM load', 'value > 90', every => '1 s')});
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
# Jobs of the primary prune pages every second: no reading is in the way, however long it takes.
$standby->append_conf('postgresql.conf', "max_standby_streaming_delay = -1");
$standby->start;
$standby->backup('cascade');
my $cascade = PostgreSQL::Test::Cluster->new('cascade');
$cascade->init_from_backup($standby, 'cascade', has_streaming => 1);
$cascade->start;

# What is read: every part of the views, with tsext's nodes and without them.
my $digest = q{SELECT count(*), sum(n), sum(total), md5(string_agg(r::text, ',' ORDER BY r::text)) FROM %s r};
my @readings = ((map { sprintf $digest, $_ } qw(hourly daily hourly_query daily_query)),
	q{SELECT count(*), sum(v), min(time), max(time) FROM t},
	q{SELECT host, last(v, time) FROM t GROUP BY host ORDER BY host},
	q{SELECT DISTINCT ON (host) host, time, v FROM t ORDER BY host, time DESC},
	q{SELECT bucket, sum(total) FROM hourly WHERE bucket >= '2024-01-03' AND bucket < '2024-01-04' GROUP BY 1 ORDER BY 1 DESC LIMIT 5},
	q{SELECT count(*), min(state) FROM tsext.alerts});
sub answers
{
	my ($node, $nodes) = @_;
	my $set = join ' ', map { "SET tsext.enable_$_ = $nodes;" } qw(scan last aggregate);
	return $node->safe_psql('postgres', join "\n", $set, map { "$_;" } @readings);
}
sub same_everywhere
{
	my ($when) = @_;
	my $mine = answers($primary, 'on');
	is(answers($primary, 'off'), $mine, "$when: without tsext's nodes");
	$primary->wait_for_catchup($standby);
	$standby->wait_for_catchup($cascade, 'replay', $primary->lsn('write'));
	for my $node ($standby, $cascade)
	{
		is(answers($node, $_), $mine, "$when: " . $node->name . ", tsext's nodes $_") for qw(on off);
	}
	my @lines = split /\n/, $mine;
	is("$lines[0] $lines[1]", "$lines[2] $lines[3]", "$when: views are their queries");
}
ok($primary->poll_query_until('postgres', "SELECT count(*) = 1 FROM tsext.alerts WHERE state = 'firing'"), 'the alert fires');
same_everywhere('nothing is materialized');
sql("CALL refresh_continuous_aggregate('hourly', NULL, '2024-01-06')");
sql("CALL refresh_continuous_aggregate('daily', NULL, '2024-01-05')");
same_everywhere('a part is');
sql('SET tsext.enable_bulk = off; SELECT fill(2000, 2100); SELECT fill(12001, 12500); UPDATE t SET v = v + 1 WHERE time > \'2024-01-09 08:00\'; DELETE FROM t WHERE v = 12100');
same_everywhere('dirty ranges, hot rows');
sql("SET tsext.enable_bulk = off; BEGIN; SELECT fill(3000, 3010); PREPARE TRANSACTION 'two'");
sql("SELECT tsext.compact('t')");
same_everywhere('compacted again');

# What writes is refused, and says where it is to be done.
for my $statement ("CALL refresh_continuous_aggregate('hourly', NULL, NULL)", "SELECT add_job('take_note', '1 s')", "SELECT alter_job($tick, scheduled => false)", "SELECT delete_job($tick)",
	"CALL run_job($tick)", 'CALL run_job(1)', "SELECT drop_chunks('t', older_than => '2024-01-02'::timestamptz)", "SELECT tsext.compact('t')", "SELECT decompress_chunk(c) FROM show_chunks('t') c",
	"SELECT tsext.downsample('t', '2024-01-02'::timestamptz, '1 hour', '{\"v\": \"sum\"}')", "SELECT add_retention_policy('hourly', '1 day')", "SELECT remove_retention_policy('t')",
	"SELECT tsext.create_alert('more', 'SELECT 1 AS value', 'value > 0')", "SELECT tsext.drop_alert('busy')", "SELECT tsext.alter_alert('busy', condition => 'value > 1')",
	"SELECT tsext.set_options('t', segment_by => '{}')", "SELECT set_chunk_time_interval('t', interval '2 days')", "SELECT set_integer_now_func('t', 'now')", "SELECT tsext.write_lines('m v=1')", "ALTER MATERIALIZED VIEW hourly SET (tsext.materialized_only)",
	"CREATE MATERIALIZED VIEW again WITH (tsext.continuous) AS SELECT time_bucket('1 hour', time) AS bucket, count(*) FROM t GROUP BY 1", 'DROP MATERIALIZED VIEW hourly', 'INSERT INTO t VALUES (now(), NULL, 1)', 'VACUUM t')
{
	my ($status, $out, $err) = $standby->psql('postgres', "\\set VERBOSITY verbose\n$statement");
	my $is_ours = $statement !~ /^(DROP|INSERT|VACUUM)/;
	like($err, $is_ours ? qr/ERROR:  25006: cannot execute .+ during recovery\n.*\n?HINT:  Execute it on the primary server/s : qr/ERROR:  25006: cannot execute/, "refused: $statement");
}
is($_->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'tsext%'}), 0, $_->name . ': no process of tsext') for $standby, $cascade;
is($standby->safe_psql('postgres', "SELECT count(*) FROM tsext.verify('t')"), 0, 'tsext.verify() works');

# A query in the way of what the primary has removed is cancelled, or goes on to a right answer; later ones are right.
my $reader = $standby->background_psql('postgres', on_error_stop => 0, timeout => 600);
$reader->query('BEGIN ISOLATION LEVEL REPEATABLE READ');
my $seen = answers($primary, 'on');
is($reader->query($readings[0]) . "\n" . $reader->query($readings[1]), join("\n", (split /\n/, $seen)[0, 1]), 'a transaction of the standby reads the views');
$standby->adjust_conf('postgresql.conf', 'max_standby_streaming_delay', '1s');
reload_settings($standby);
sql("SELECT count(*) FROM drop_chunks('t', older_than => '2024-01-03'::timestamptz)");
sql('SET tsext.enable_bulk = off; SELECT fill(5000, 5010)');
sql("CALL refresh_continuous_aggregate('hourly', NULL, '2024-01-07')");
sql('VACUUM t; VACUUM hourly_materialized; VACUUM tsext.segment; VACUUM tsext.cagg_log; VACUUM tsext.cagg_threshold');
$primary->wait_for_catchup($standby);
my $survived = eval { is($reader->query($readings[0]), (split /\n/, $seen)[0], 'a transaction that was not in the way sees what it saw') if $reader->{stderr} !~ /ERROR|FATAL/; 1 };
ok($survived || slurp_file($standby->logfile) =~ /due to conflict with recovery/, 'a transaction in the way of the replay ends as PostgreSQL has it');
eval { $reader->quit };
$standby->adjust_conf('postgresql.conf', 'max_standby_streaming_delay', '-1');
reload_settings($standby);
{
	my $mine = answers($primary, 'on');
	$primary->wait_for_catchup($standby);
	is(answers($standby, $_), $mine, "after a conflict: standby, tsext's nodes $_") for qw(on off);
}

# A copy restored to a point in time from the archive.
my $gone = q{SELECT count(*) FROM ((TABLE hourly EXCEPT ALL TABLE hourly_query) UNION ALL (TABLE hourly_query EXCEPT ALL TABLE hourly)) d WHERE bucket >= '2024-01-03'};
my $then = answers($primary, 'on');
sql("SELECT pg_create_restore_point('then')");
sql('SELECT fill(6000, 6100)');
sql("CALL refresh_continuous_aggregate('hourly', NULL, '2024-01-08')");
sql('SELECT pg_switch_wal()');
$primary->wait_for_catchup($standby);
my $copy = PostgreSQL::Test::Cluster->new('copy');
$copy->init_from_backup($primary, 'base', has_restoring => 1);
$copy->append_conf('postgresql.conf', "recovery_target_name = 'then'\nrecovery_target_action = 'promote'");
$copy->start;
$copy->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()');
# The alert's row is not of that moment any more: the copy's own jobs run.
is(answers($copy, $_), $then, "a copy restored to a point in time has what was there, tsext's nodes $_") for qw(on off);

# Promotion: schedulers come, jobs run when they are due, aggregates are refreshed, late rows are noticed.
$primary->stop('immediate');
ok($standby->poll_query_until('postgres', "SELECT status = 'waits: this server is a standby' FROM tsext.jobs WHERE job_id = $tick"), 'the view of jobs says why none runs');
$standby->promote;
for my $node ($standby, $copy)
{
	my $name = $node->name;
	my $before = $node->safe_psql('postgres', "SELECT count(*) FROM note WHERE job = $tick");
	ok($node->poll_query_until('postgres', "SELECT count(*) > $before + 1 FROM note WHERE job = $tick"), "$name: promoted, the job of each second runs");
	is($node->safe_psql('postgres', "SELECT count(*) FROM note WHERE job = $daily"), 1, "$name: that of each day does not");
	is($node->safe_psql('postgres', "SELECT next_start BETWEEN now() + interval '23 hours' AND now() + interval '1 day' FROM tsext.jobs WHERE job_id = $daily"), 't', "$name: its next start is sane");
	is($node->safe_psql('postgres', "SELECT count(*) FROM tsext.job_runs WHERE job_id = $tick AND outcome NOT IN ('running', 'succeeded') AND sqlstate IS NOT NULL"), 0, "$name: no run has failed");
	ok($node->poll_query_until('postgres', q{SELECT evaluated_at > now() - interval '30 s' FROM tsext.alerts LIMIT 1}), "$name: the alert is evaluated");
	$node->safe_psql('postgres', "COMMIT PREPARED 'two'");
	is($node->safe_psql('postgres', $gone), 0, "$name: the view sees what was prepared on the primary");
	$node->safe_psql('postgres', 'SET tsext.enable_bulk = off; SELECT fill(7000, 7100); SELECT fill(12501, 12600)');
	is($node->safe_psql('postgres', $gone), 0, "$name: the view sees late rows");
	$node->safe_psql('postgres', "CALL refresh_continuous_aggregate('hourly', NULL, NULL)");
	is($node->safe_psql('postgres', $gone), 0, "$name: and is right after a refresh");
	is($node->safe_psql('postgres', q{SELECT count(*) FROM unnest(ARRAY['t', 'hourly_materialized']) r, tsext.verify(r::regclass)}), 0, "$name: tsext.verify() finds nothing");
}
$_->stop('fast') for $cascade, $copy, $standby;
done_testing();
