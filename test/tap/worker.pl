# The launcher and its workers: they compact by themselves, come and go with extension and database, and stand aside for DROP DATABASE.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Waiting;

my $node = PostgreSQL::Test::Cluster->new('worker');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', q{
tsext.compact_naptime = 1
tsext.compact_age = 1
max_worker_processes = 16
});
$node->start;
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'tsext launcher'}), 'the launcher runs');
$node->safe_psql('postgres', 'CREATE EXTENSION tsext');
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'tsext compaction' AND datname = 'postgres'}),
	'CREATE EXTENSION brings a worker');
$node->safe_psql('postgres', q{
CREATE TABLE t (time timestamptz NOT NULL, v int) USING tsext;
SET tsext.enable_bulk = off;
INSERT INTO t SELECT '2024-01-01 00:00+00'::timestamptz + g * interval '1 s', g FROM generate_series(1, 10000) g;});
my $cold = q{SELECT coalesce(sum(nrows), 0) FROM tsext.segment WHERE store = (SELECT reltoastrelid FROM pg_class WHERE oid = 't'::regclass)};
ok($node->poll_query_until('postgres', "SELECT ($cold) = 10000"), 'hot rows become segments by themselves');
ok($node->poll_query_until('postgres', q{SELECT min(level) = 2 FROM tsext.segment}), 'an old chunk gets the COLD codecs by itself');
is($node->safe_psql('postgres', 'SELECT count(*), sum(v) FROM t'), '10000|50005000', 'with the same rows');

# A chunk that was decompressed stays hot.
$node->safe_psql('postgres', q{SELECT decompress_chunk(c) FROM show_chunks('t') c});
sleep 4;
is($node->safe_psql('postgres', $cold), '0', 'a decompressed chunk is left alone');
$node->safe_psql('postgres', q{SELECT tsext.compact('t')});
is($node->safe_psql('postgres', $cold), '10000', 'until compaction is asked for');

# A table that cannot be compacted stops neither the worker nor other tables, and is not tried again at once.
$node->safe_psql('postgres', q{ALTER SYSTEM SET tsext.stop_point = 'compact_after_delete:error'});
reload_settings($node);
my $hot = q{(time timestamptz NOT NULL, v int) USING tsext; SET tsext.enable_bulk = off; INSERT INTO %s SELECT '2024-01-01 00:00+00'::timestamptz + g * interval '1 s', g FROM generate_series(1, 10000) g};
my $worker = q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'tsext compaction' AND datname = 'postgres'};
my $pid = $node->safe_psql('postgres', $worker);
my $errors = sub { my @found = slurp_file($node->logfile) =~ /stop point "compact_after_delete" reached/g; scalar @found };
$node->safe_psql('postgres', 'CREATE TABLE failing ' . sprintf($hot, 'failing'));
wait_until($errors);
sleep 4;
is($errors->(), 1, 'the failing one was tried once');
$node->safe_psql('postgres', 'ALTER SYSTEM RESET tsext.stop_point');
reload_settings($node);
$node->safe_psql('postgres', 'CREATE TABLE fine ' . sprintf($hot, 'fine'));
my $fine = $cold =~ s/'t'/'fine'/r;
ok($node->poll_query_until('postgres', "SELECT ($fine) = 10000"), 'another table is compacted');
is($node->safe_psql('postgres', $worker), $pid, 'by the same worker');
is($node->safe_psql('postgres', q{SELECT count(*), sum(v) FROM failing}), '10000|50005000', 'and has its rows');

# Other databases.
$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('other', 'CREATE EXTENSION tsext');
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'tsext compaction' AND datname = 'other'}),
	'a second database has its own worker');
$node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE other');
pass('CREATE DATABASE … TEMPLATE is not in the worker\'s way');
$node->safe_psql('postgres', 'ALTER DATABASE other RENAME TO renamed');
pass('nor is a rename');
$node->safe_psql('postgres', 'DROP DATABASE renamed');
pass('nor is DROP DATABASE');
$node->safe_psql('postgres', 'DROP EXTENSION tsext CASCADE');
ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'tsext compaction' AND datname = 'postgres'}),
	'DROP EXTENSION ends the worker');
$node->safe_psql('postgres', 'CREATE EXTENSION tsext');
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'tsext compaction' AND datname = 'postgres'}),
	'CREATE EXTENSION brings it back');

# A standby reads what the primary compacts and has no worker until it is promoted.
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->safe_psql('postgres', q{
CREATE TABLE s (time timestamptz NOT NULL, v int) USING tsext;
INSERT INTO s SELECT '2024-01-01 00:00+00'::timestamptz + g * interval '1 s', g FROM generate_series(1, 10000) g;
SELECT tsext.compact('s');});
$node->wait_for_catchup($standby);
is($standby->safe_psql('postgres', 'SELECT count(*), sum(v) FROM s'), '10000|50005000', 'a standby reads segments');
is($standby->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'tsext%'}), '0', 'no worker on a standby');
my ($status, $out, $err) = $standby->psql('postgres', q{SELECT tsext.compact('s')});
like($err, qr/during recovery/, 'compaction is refused on a standby');
$node->stop('immediate');
$standby->promote;
ok($standby->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'tsext compaction' AND datname = 'postgres'}), 'a promoted standby gets its worker');
is($standby->safe_psql('postgres', 'SELECT count(*), sum(v) FROM s'), '10000|50005000', 'and has all rows');
$standby->stop;
done_testing();
