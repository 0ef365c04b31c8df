# The store under kill -9 in every step of writing a segment: what was acknowledged is there, once; what was not leaves
# nothing but dead tuples that vacuum takes. Then two-phase commit, a standby whose every replayed page is compared with the
# primary's, and wal_level = logical.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Waiting;

my $node = PostgreSQL::Test::Cluster->new('primary');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', q{
restart_after_crash = on
autovacuum = off
tsext.compact_background = off
max_prepared_transactions = 5
wal_consistency_checking = 'heap,heap2,btree,sequence'
});
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION tsext');
$node->safe_psql('postgres', 'CREATE EXTENSION amcheck');
$node->safe_psql('postgres', 'CREATE TABLE t (time timestamptz NOT NULL, id int, noise text) USING tsext');
my $toast = $node->safe_psql('postgres', q{SELECT reltoastrelid::regclass FROM pg_class WHERE relname = 't'});

$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;

# A load of 6,000 rows: too many for the hot heap, some 35 pieces.
sub load_sql
{
	my ($load) = @_;
	return qq{INSERT INTO t SELECT timestamptz '2024-01-01 00:00+00' + g * interval '1 s', $load * 10000 + g, md5(($load * 10000 + g)::text)
	  FROM generate_series(1, 6000) g};
}
my $rows = q{SELECT count(*) || ' ' || coalesce(sum(id), 0) || ' ' || count(DISTINCT id) || ' ' || coalesce(sum(hashtext(noise)), 0) FROM t};

sub is_sound
{
	my ($name) = @_;
	is($node->safe_psql('postgres', qq{SELECT count(*) FROM verify_heapam('$toast')}), '0', "$name: the TOAST heap is sound");
	is( $node->safe_psql(
			'postgres', qq{SELECT count(bt_index_check(indexrelid, false)) FROM pg_index
			WHERE indrelid IN ('$toast'::regclass, 'tsext.segment'::regclass, 'tsext.store_total'::regclass)}),
		'4', "$name: the indexes are sound");
	is($node->safe_psql('postgres', qq{SELECT (SELECT count(*) FROM $toast) = (SELECT sum(npieces) FROM tsext.segment)}),
		't', "$name: every visible piece belongs to a segment");
	return;
}

$node->safe_psql('postgres', load_sql(1));
my $before = $node->safe_psql('postgres', $rows);
is($before =~ /^6000 /, 1, 'the first load is there');
is($node->safe_psql('postgres', q{SELECT pg_relation_size('t') || ' ' || sum(nrows) FROM tsext.segment}), '0 6000', 'and cold');

my $load = 2;
foreach my $step ('store_pieces_without_index', 'write_after_store', 'write_after_directory')
{
	ok(killed_by($node, "SET tsext.stop_point = '$step:crash';" . load_sql($load)), "$step: the backend is killed");
	is($node->safe_psql('postgres', $rows), $before, "$step: acknowledged rows are there, the others are not");
	is_sound($step);

	# The same in a statement that fails, and in a subtransaction.
	my ($failed) = $node->psql('postgres', "SET tsext.stop_point = '$step:error';" . load_sql($load));
	isnt($failed, 0, "$step: the statement fails");
	is($node->safe_psql('postgres', $rows), $before, "$step: it leaves nothing");
	$node->safe_psql('postgres', 'BEGIN; SAVEPOINT a;' . load_sql($load) . '; ROLLBACK TO a;' . load_sql($load) . '; COMMIT');
	$load++;
	$before = $node->safe_psql('postgres', $rows);
	is((split / /, $before)[0], ($load - 1) * 6000, "$step: the next load is there, once");
	is_sound($step);
}

# What was left behind is room for the next loads.
$node->safe_psql('postgres', "VACUUM $toast");
my $size = $node->safe_psql('postgres', "SELECT pg_relation_size('$toast')");
$node->safe_psql('postgres', load_sql($load++)) for 1 .. 3;
is($node->safe_psql('postgres', "SELECT pg_relation_size('$toast')"), $size, 'vacuum made room for later segments');
is_sound('after vacuum');

# Two-phase commit over a crash.
$node->safe_psql('postgres', 'BEGIN;' . load_sql($load++) . q{; PREPARE TRANSACTION 'load'});
$before = $node->safe_psql('postgres', $rows);
$node->stop('immediate');
$node->start;
is($node->safe_psql('postgres', $rows), $before, 'a prepared load is not seen');
$node->safe_psql('postgres', q{COMMIT PREPARED 'load'});
is((split / /, $node->safe_psql('postgres', $rows))[0], (split / /, $before)[0] + 6000, 'a prepared load is there after its commit');

# The standby, also while the pieces move.
$node->wait_for_catchup($standby);
$before = $node->safe_psql('postgres', $rows);
is($standby->safe_psql('postgres', $rows), $before, 'the standby reads the same rows');
$node->safe_psql('postgres', "VACUUM FULL $toast");
$node->wait_for_catchup($standby);
is($standby->safe_psql('postgres', $rows), $before, 'and after VACUUM FULL of the TOAST table');
$node->safe_psql('postgres', 'BEGIN; TRUNCATE t;' . load_sql($load) . '; ROLLBACK');
$node->wait_for_catchup($standby);
is($standby->safe_psql('postgres', $rows), $before, 'and after a TRUNCATE that was rolled back');
$node->stop('immediate');
$standby->promote;
is($standby->safe_psql('postgres', $rows), $before, 'and when it is promoted');
$standby->safe_psql('postgres', load_sql($load));
is((split / /, $standby->safe_psql('postgres', $rows))[0], (split / /, $before)[0] + 6000, 'a promoted standby takes new segments');
$standby->stop;

# wal_level = logical writes pieces in another way; decoding sees neither them nor the directory.
my $logical = PostgreSQL::Test::Cluster->new('logical');
$logical->init(allows_streaming => 'logical');
$logical->start;
$logical->safe_psql('postgres', 'CREATE EXTENSION tsext');
$logical->safe_psql('postgres', 'CREATE TABLE t (time timestamptz NOT NULL, id int, noise text) USING tsext WITH (tsext.decoded = off)');
$logical->safe_psql('postgres', q{SELECT pg_create_logical_replication_slot('slot', 'test_decoding')});
$logical->safe_psql('postgres', load_sql(1));
is($logical->safe_psql('postgres', q{SELECT pg_relation_size('t') || ' ' || sum(nrows) || ' ' || (sum(npieces) > 10) FROM tsext.segment}),
	'0 6000 true', 'wal_level = logical: the load is cold');
like($logical->safe_psql('postgres', $rows), qr/^6000 /, 'wal_level = logical: its rows are there');
is( $logical->safe_psql('postgres', q{SELECT count(*) FROM pg_logical_slot_get_changes('slot', NULL, NULL) WHERE data LIKE 'table %'}),
	'0', 'wal_level = logical: nothing of it is decoded');
$logical->safe_psql('postgres', q{CREATE TABLE h (id int, big text); ALTER TABLE h ALTER big SET STORAGE external;
  BEGIN; } . load_sql(2) . q{; INSERT INTO h VALUES (1, repeat('x', 30000)); COMMIT});
like($logical->safe_psql('postgres', q{SELECT string_agg(left(data, 50), '|') FROM pg_logical_slot_get_changes('slot', NULL, NULL) WHERE data LIKE 'table %'}),
	qr/^table public\.h: INSERT: id\[integer\]:1 big\[text\]:'x+$/, 'wal_level = logical: other tables of the same transaction are');
$logical->stop;
done_testing();
