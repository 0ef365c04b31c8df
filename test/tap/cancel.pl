# A cancel at any moment: statement_timeout sweeps over every kind of statement, from the first millisecond to its natural
# end. After each the rows are those of the heap twin, the session goes on, and vacuum takes what the statement left.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $node = PostgreSQL::Test::Cluster->new('cancel');
$node->init;
$node->append_conf('postgresql.conf', q{
tsext.compact_background = off
autovacuum = off
fsync = off
});
$node->start;
my $csv = $node->basedir . '/rows.csv';
$node->safe_psql('postgres', qq{
CREATE EXTENSION tsext;
CREATE EXTENSION amcheck;
CREATE TABLE source AS SELECT '2024-01-01 00:00+00'::timestamptz + g * interval '1 s' AS time, 'host_' || g % 5 AS host, g AS v, md5(g::text) AS note
  FROM generate_series(1, 60000) g;
COPY source TO '$csv' (FORMAT csv);
});

# Runs a statement under a time-out in a session that must be usable afterwards. Its answer to what comes next is "alive".
# True when the statement itself was cut short: on a busy machine RESET can be too, so it is said more than once.
my $reset = 'RESET statement_timeout; ' x 30;

sub cut_short
{
	my ($milliseconds, $sql) = @_;
	my ($status, $out, $err) = $node->psql('postgres', qq{
SET tsext.bulk_memory = '1MB'; SET statement_timeout = ${milliseconds};
$sql;
\\echo state :SQLSTATE
$reset
SELECT 'alive ' || count(*) FROM (SELECT FROM t LIMIT 1) s;}, on_error_stop => 0);
	die "the session did not survive: $status $out $err" unless $out =~ /alive/;
	die "another error: $err" if $err =~ /ERROR/ && $err !~ /canceling statement due to statement timeout/;
	return $out =~ /^state 57014$/m ? 1 : 0;
}

# What is wrong with table t beside its twin: "" when nothing is.
sub problems
{
	my ($twin) = @_;
	my $toast = $node->safe_psql('postgres', q{SELECT reltoastrelid::regclass FROM pg_class WHERE oid = 't'::regclass});
	return $node->safe_psql('postgres', qq{
SELECT count(*) || ' rows differ' FROM ((TABLE t EXCEPT ALL $twin) UNION ALL ($twin EXCEPT ALL TABLE t)) d HAVING count(*) > 0;
SELECT problem FROM tsext.verify('t');
VACUUM t; VACUUM tsext.segment;
SELECT count(*) || ' orphans' FROM $toast c
  WHERE NOT EXISTS (SELECT FROM tsext.segment s WHERE s.store = '$toast'::regclass AND s.valueid = c.chunk_id) HAVING count(*) > 0;
SELECT msg FROM verify_heapam('$toast');
SELECT 'segments left' FROM tsext.segment WHERE store NOT IN (SELECT reltoastrelid FROM pg_class) LIMIT 1;});
}

# The sweep: as many time-outs as fit between nothing and the statement's own duration. prepare makes t as it was before;
# before and after are the twin's rows when the statement was cut short and when it was not.
sub sweep
{
	my ($name, $prepare, $statement, $before, $after) = @_;
	my $cut = 0;
	my $wrong = '';
	my $steps = 9;
	$node->safe_psql('postgres', $prepare);
	my $began = time;
	cut_short(0, $statement);
	my $duration = int((time - $began) * 1000);
	my $found = problems($after);
	is($found, '', "$name: whole, in $duration ms");
	for my $step (0 .. $steps - 1)
	{
		my $limit = 1 + int($duration * $step / $steps);
		$node->safe_psql('postgres', $prepare);
		my $was_cut = cut_short($limit, $statement);
		$cut += $was_cut;
		my $problem = problems($was_cut ? $before : $after);
		$wrong .= "after $limit ms" . ($was_cut ? '' : ' (not cut)') . ": $problem\n" if $problem ne '';
	}
	is($wrong, '', "$name: cut short $cut times");
	cmp_ok($cut, '>', 0, "$name: was cut short at all");
	return;
}

my $fresh = q{DROP TABLE IF EXISTS t; CREATE TABLE t (LIKE source) USING tsext WITH (tsext.chunk_interval = '1 hour');};
my $hot = "$fresh SET tsext.enable_bulk = off; INSERT INTO t SELECT * FROM source WHERE v <= 20000;";
my $cold = "$fresh INSERT INTO t SELECT * FROM source WHERE v <= 30000;";
my $nothing = 'SELECT * FROM source WHERE false';
my $all = 'TABLE source';
my $third = 'SELECT * FROM source WHERE v <= 20000';
my $half = 'SELECT * FROM source WHERE v <= 30000';
my $mixed = "$cold SET tsext.enable_bulk = off; INSERT INTO t SELECT * FROM source WHERE v > 50000;";
my $mixed_rows = 'SELECT * FROM source WHERE v <= 30000 OR v > 50000';

sweep('COPY', $fresh, "COPY t FROM '$csv' (FORMAT csv)", $nothing, $all);
sweep('INSERT … SELECT', $fresh, 'INSERT INTO t SELECT * FROM source', $nothing, $all);
sweep('compact', $hot, q{SELECT tsext.compact('t')}, $third, $third);
sweep('compact and merge', $mixed, q{SELECT tsext.compact('t')}, $mixed_rows, $mixed_rows);
sweep('compact to COLD', $cold, q{SELECT tsext.compact('t', level => 'cold')}, $half, $half);
sweep('decompress_chunk', $cold, q{SELECT decompress_chunk(c) FROM show_chunks('t') c}, $half, $half);
sweep('drop_chunks', $cold, q{SELECT drop_chunks('t', older_than => '2024-01-01 06:00+00'::timestamptz)}, $half,
	q{SELECT * FROM source WHERE v <= 30000 AND time >= '2024-01-01 06:00+00'});
sweep('SELECT', $mixed, q{SELECT count(DISTINCT note || host) FROM t}, $mixed_rows, $mixed_rows);
sweep('ALTER TABLE … SET ACCESS METHOD', $mixed, 'DO $$ BEGIN ALTER TABLE t SET ACCESS METHOD heap; ALTER TABLE t SET ACCESS METHOD tsext; END $$', $mixed_rows, $mixed_rows);
sweep('VACUUM FULL', $mixed, 'VACUUM FULL t', $mixed_rows, $mixed_rows);

is($node->safe_psql('postgres', 'SELECT count(*) FROM source'), '60000', 'the server was up all the time');
$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP:|was terminated by signal|WARNING/, 'the log tells of nothing else');
done_testing();
