# kill -9 at every step of downsampling and between its ranges: nothing is lost or doubled, what was done stays done, and the next
# run completes.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Waiting;

my $node = PostgreSQL::Test::Cluster->new('downsample');
$node->init;
$node->append_conf('postgresql.conf', q{
restart_after_crash = off
tsext.compact_background = off
tsext.cold_after = -1
autovacuum = off
fsync = off
timezone = UTC
});
$node->start;
$node->safe_psql('postgres', q{
CREATE EXTENSION tsext;
CREATE TABLE t (time timestamptz NOT NULL, host text, v float8, total bigint, n bigint) USING tsext
  WITH (tsext.segment_by = 'host', tsext.chunk_interval = '1 day');
CREATE TABLE twin (LIKE t);
CREATE INDEX ON t (total);
});
# The scheduler keeps out of it.
$node->safe_psql('postgres', q{
BEGIN;
SELECT add_downsampling_policy('t', '1 day', '1 min', '{"v": "avg", "total": "sum"}', 'n');
SELECT FROM tsext.jobs j, LATERAL alter_job(j.job_id, scheduled => false) WHERE j.relation = 't'::regclass;
COMMIT;});
my $job = $node->safe_psql('postgres', q{SELECT job_id FROM tsext.jobs WHERE relation = 't'::regclass});

# Whole days of rows, far enough apart to be ranges of their own; every third day is hot, every third has both.
my $serial = 0;
sub fill
{
	my ($from, $to) = @_;
	for my $day ($from .. $to)
	{
		my $sql = '';
		for my $half (0, 1)
		{
			my $bulk = ($day % 3 == 0 || ($day % 3 == 1 && $half)) ? 'off' : 'on';
			my $rows = qq{SELECT timestamptz '2024-01-01' + interval '1 day' * ($day * 2) + g * interval '10 s', 'host_' || g % 3, (g % 64) * 0.25, $serial + g, NULL::bigint
				FROM generate_series($half * 4320, $half * 4320 + 4319) g};
			$sql .= "SET tsext.enable_bulk = $bulk; INSERT INTO t $rows; INSERT INTO twin $rows;";
		}
		$serial += 10000;
		$node->safe_psql('postgres', $sql);
	}
}

my $sums = q{SELECT sum(v * coalesce(n, 1)), sum(total), sum(coalesce(n, 1)), min(time), count(DISTINCT host) FROM %s};
my $expected = q{SELECT count(*) FROM ((SELECT time, host, v, total, n FROM t) EXCEPT ALL
	(SELECT time_bucket('1 min', time), host, avg(v), sum(total), count(*) FROM twin GROUP BY 1, 2)) d};

sub check_all
{
	my ($what) = @_;
	is($node->safe_psql('postgres', sprintf($sums, 't')), $node->safe_psql('postgres', sprintf($sums, 'twin')), "$what: sums are preserved");
	is($node->safe_psql('postgres', q{SELECT count(*) FROM (SELECT FROM t WHERE n IS NOT NULL GROUP BY time, host HAVING count(*) > 1) d}), '0', "$what: no bucket twice");
	is($node->safe_psql('postgres', q{SELECT count(*) FROM tsext.verify('t')}), '0', "$what: tsext.verify() finds nothing");
	is($node->safe_psql('postgres', q{SELECT (SELECT coalesce(sum(rows), 0) FROM tsext.store_total s WHERE s.store = c.reltoastrelid) =
		(SELECT coalesce(sum(nrows), 0) FROM tsext.segment s WHERE s.store = c.reltoastrelid) FROM pg_class c WHERE oid = 't'::regclass}), 't', "$what: totals agree");
	is($node->safe_psql('postgres', q{SET enable_seqscan = off; SELECT count(*) FROM t WHERE total >= 0}), $node->safe_psql('postgres', 'SELECT count(*) FROM t'), "$what: the index has every row");
}

# More rounds by hand: TSEXT_CRASH_ROUNDS=34 are 204 kills.
my $day = 0;
for my $round (1 .. $ENV{TSEXT_CRASH_ROUNDS} || 1)
{
$node->safe_psql('postgres', 'TRUNCATE t, twin');
$day = 0;
for my $point (qw(downsample_after_read remove_after_delete write_after_directory remove_after_write downsample_after_remove downsample_after_insert))
{
	fill($day, $day + 2);
	$day += 3;
	my ($status) = $node->psql('postgres', "SET tsext.stop_point = '$point:crash'; CALL run_job($job)");
	if ($status == 0) { fail("$point: the server died"); next; }
	pass("$point: the server died");
	start_again($node);
	check_all("$point, after the crash");
	$node->safe_psql('postgres', "CALL run_job($job)");
	check_all("$point, after the next run");
	is($node->safe_psql('postgres', $expected), '0', "$point: everything is downsampled");
	$node->safe_psql('postgres', 'VACUUM t; VACUUM tsext.segment');
	my $toast = $node->safe_psql('postgres', q{SELECT reltoastrelid::regclass FROM pg_class WHERE oid = 't'::regclass});
	is($node->safe_psql('postgres', qq{SELECT count(DISTINCT chunk_id) FROM $toast c
		WHERE NOT EXISTS (SELECT FROM tsext.segment s WHERE s.store = '$toast'::regclass AND s.valueid = c.chunk_id)}), '0', "$point: vacuum took every orphan");
}
}

# Killed between ranges: what was committed is there, is not done again, and the rest is done.
fill($day, $day + 7);
my $holder = $node->background_psql('postgres');
$holder->query_safe('SELECT pg_advisory_lock(42)');
my $runner = $node->background_psql('postgres', on_error_stop => 0);
$runner->query_until(qr/begins/, "SET tsext.stop_point = 'downsample_after_insert:wait:42';\n\\echo begins\nCALL run_job($job);\n");
sub waits { $node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted}); }
my $raw = q{SELECT count(*) FROM t WHERE n IS NULL};
my $all = $node->safe_psql('postgres', $raw);
my $left = $all;
for (1 .. 20)
{
	waits();
	$left = $node->safe_psql('postgres', $raw);
	last if $left < $all;
	$holder->query_safe('SELECT pg_advisory_unlock(42)');
	$holder->query_safe('SELECT pg_advisory_lock(42)');
}
cmp_ok($left, '<', $all, 'some range is done');
cmp_ok($left, '>', 0, 'some range is not');
my $pid = $node->safe_psql('postgres', q{SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted});
kill 'KILL', $pid;
eval { $runner->{run}->finish; };
eval { $holder->{run}->finish; };
start_again($node);
is($node->safe_psql('postgres', $raw), $left, 'what was committed stays done');
check_all('killed between ranges');
my $done = $node->safe_psql('postgres', q{SELECT string_agg(ctid::text, ' ') FROM tsext.downsample_range});
$node->safe_psql('postgres', "CALL run_job($job)");
is($node->safe_psql('postgres', $raw), '0', 'the next run does the rest');
is($node->safe_psql('postgres', $expected), '0', 'and everything is downsampled');
like($node->safe_psql('postgres', q{SELECT string_agg(ctid::text, ' ') FROM tsext.downsample_range}), qr/^\Q$done\E/, 'what was done was not done again');
check_all('the next run');

$node->stop;
done_testing();
