# kill -9 at every step of a bulk write, a compaction, a merge, a decompression and drop_chunks, and at random moments under load:
# every acknowledged row is there, once, and vacuum takes what the dead transaction left in the TOAST table.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);
use Waiting;

my $node = PostgreSQL::Test::Cluster->new('crash');
$node->init;
$node->append_conf('postgresql.conf', q{
restart_after_crash = off
tsext.compact_background = off
tsext.cold_after = -1
autovacuum = off
max_prepared_transactions = 5
fsync = off
});
$node->start;
$node->safe_psql('postgres', q{
CREATE EXTENSION tsext;
CREATE EXTENSION amcheck;
CREATE TABLE t (time timestamptz NOT NULL, host text, v int8, note text) USING tsext;
CREATE TABLE twin (LIKE t);
});

my $state = q{SELECT count(*), count(DISTINCT v), sum(v), sum(hashtext(t::text)) FROM %s t};

# Rows that look the same in both tables, by the path of row inserts.
sub fill
{
	my ($from, $to) = @_;
	$node->safe_psql('postgres', qq{
SET tsext.enable_bulk = off;
INSERT INTO t SELECT '2024-01-01 00:00+00'::timestamptz + g * interval '10 s', 'host_' || g % 5, g, repeat('x', g % 50) FROM generate_series($from, $to) g;
INSERT INTO twin SELECT '2024-01-01 00:00+00'::timestamptz + g * interval '10 s', 'host_' || g % 5, g, repeat('x', g % 50) FROM generate_series($from, $to) g;});
}

sub check_all
{
	my ($what) = @_;
	is($node->safe_psql('postgres', sprintf($state, 't')), $node->safe_psql('postgres', sprintf($state, 'twin')), "$what: rows are there, once");
	is($node->safe_psql('postgres', q{SELECT count(*) FROM tsext.verify('t')}), '0', "$what: tsext.verify() finds nothing");
	$node->safe_psql('postgres', 'VACUUM t; VACUUM tsext.segment');
	my $toast = $node->safe_psql('postgres', q{SELECT reltoastrelid::regclass FROM pg_class WHERE oid = 't'::regclass});
	is($node->safe_psql('postgres', qq{SELECT count(DISTINCT chunk_id) FROM $toast c
		WHERE NOT EXISTS (SELECT FROM tsext.segment s WHERE s.store = '$toast'::regclass AND s.valueid = c.chunk_id)}), '0', "$what: vacuum took every orphan");
	is($node->safe_psql('postgres', qq{SELECT count(*) FROM verify_heapam('$toast')}), '0', "$what: TOAST heap is sound");
	is($node->safe_psql('postgres', qq{SELECT count(*) FROM verify_heapam('tsext.segment')}), '0', "$what: directory is sound");
	$node->safe_psql('postgres', qq{SELECT bt_index_check(indexrelid, true) FROM pg_index WHERE indrelid IN ('$toast'::regclass, 'tsext.segment'::regclass)});
}

# Runs statements that crash the server at a stop point, and starts it again.
sub crash_at
{
	my ($point, $sql) = @_;
	my ($status, $out, $err) = $node->psql('postgres', "SET tsext.stop_point = '$point:crash'; $sql");
	isnt($status, 0, "$point: the server died");
	start_again($node);
}

my $csv = $node->basedir . '/rows.csv';
open(my $file, '>', $csv) or die $!;
printf $file "2024-02-01 %02d:%02d:%02d+00,host_%d,%d,copied\n", int($_ / 3600) % 24, int($_ / 60) % 60, $_ % 60, $_ % 4, 1000000 + $_ for (0 .. 20000);
close $file;
chmod 0644, $csv;

fill(1, 20000);
for my $point (qw(write_before_store write_after_store write_after_directory))
{
	crash_at($point, "COPY t FROM '$csv' (FORMAT csv)");
	check_all("COPY, $point");
}
for my $point (qw(compact_after_delete write_before_store write_after_store write_after_directory compact_after_write))
{
	crash_at($point, q{SELECT tsext.compact('t')});
	check_all("compact, $point");
}
$node->safe_psql('postgres', q{SELECT tsext.compact('t')});
fill(20001, 30000);
$node->safe_psql('postgres', q{SELECT compress_chunk(c) FROM show_chunks('t') c});
for my $point (qw(merge_after_delete write_after_directory merge_after_write merge_after_free))
{
	crash_at($point, q{SELECT tsext.compact('t', level => 'cold')});
	check_all("merge, $point");
}
crash_at('decompress_after_insert', q{SELECT decompress_chunk(c) FROM show_chunks('t') c});
check_all('decompress');
crash_at('drop_after_segments', q{SELECT drop_chunks('t', older_than => '2030-01-01')});
check_all('drop_chunks');

# A prepared transaction with a compaction survives a crash and can be committed or rolled back after it.
fill(40001, 41000);
$node->safe_psql('postgres', q{BEGIN; SELECT tsext.compact('t'); PREPARE TRANSACTION 'moved'});
$node->stop('immediate');
$node->start;
is($node->safe_psql('postgres', sprintf($state, 't')), $node->safe_psql('postgres', sprintf($state, 'twin')), 'prepared: rows are there before');
$node->safe_psql('postgres', q{COMMIT PREPARED 'moved'});
check_all('prepared compaction');

# Random kills of the whole server under load, with background compaction as busy as it can be.
$node->append_conf('postgresql.conf', q{
tsext.compact_background = on
tsext.compact_naptime = 1
tsext.compact_age = 1
tsext.cold_after = 0
fsync = on
});
$node->restart;
$node->safe_psql('postgres', q{CREATE TABLE load (time timestamptz NOT NULL DEFAULT now(), id uuid NOT NULL DEFAULT gen_random_uuid(), v float8) USING tsext});
my $script = $node->basedir . '/insert.sql';
append_to_file($script, "INSERT INTO load (time, v) SELECT '2024-01-01 00:00+00'::timestamptz + (random() * 864000)::int * interval '1 s', random() FROM generate_series(1, 50);\n");
my $acknowledged = 0;
my $possible = 0;
my $clients = 4;
my $compacted = q{SELECT coalesce(sum(nrows), 0) FROM tsext.segment WHERE store = (SELECT reltoastrelid FROM pg_class WHERE oid = 'load'::regclass)};
for my $round (1 .. 4)
{
	my $cold = $node->safe_psql('postgres', $compacted);
	my $log = $node->basedir . "/pgbench_$round";
	my $bench = IPC::Run::start(
		[ 'pgbench', '-n', '-c', $clients, '-T', 600, '-f', $script, '--log', "--log-prefix=$log", '-h', $node->host, '-p', $node->port, 'postgres' ],
		'>', \my $out, '2>', \my $err);
	# Somewhere between two rounds of compaction, or in one.
	ok($node->poll_query_until('postgres', "SELECT ($compacted) > $cold"), "kill $round: the background worker compacts meanwhile");
	usleep(300_000 + 700_000 * $round);
	my $pid = (split /\n/, slurp_file($node->data_dir . '/postmaster.pid'))[0];
	kill 'KILL', $pid;
	$bench->finish;
	start_again($node);
	for my $file (glob "$log*") { open(my $f, '<', $file) or die $!; $acknowledged += 50 while <$f>; close $f; }
	$possible += 50 * $clients;
	my ($count, $distinct) = split /\|/, $node->safe_psql('postgres', 'SELECT count(*), count(DISTINCT id) FROM load');
	is($count, $distinct, "kill $round: no row twice");
	cmp_ok($count, '>=', $acknowledged, "kill $round: no acknowledged row is lost ($acknowledged acknowledged, $count there)");
	cmp_ok($count, '<=', $acknowledged + $possible, "kill $round: nothing but what was sent");
	is($node->safe_psql('postgres', q{SELECT count(*) FROM tsext.verify('load')}), '0', "kill $round: tsext.verify() finds nothing");
}
$node->stop;
done_testing();
