# Tables whose changes are decoded or applied stay hot, and tsext.tables says why.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('decoded');
$node->init(allows_streaming => 'logical');
$node->append_conf('postgresql.conf', 'tsext.compact_background = off');
$node->start;
$node->safe_psql(
	'postgres', q{
	CREATE EXTENSION tsext;
	CREATE SCHEMA published;
	CREATE TABLE plain (time timestamptz, v int) USING tsext;
	CREATE TABLE listed (time timestamptz, v int) USING tsext;
	CREATE TABLE forced (time timestamptz, v int) USING tsext WITH (tsext.decoded = off);
	CREATE TABLE published.by_schema (time timestamptz, v int) USING tsext;
	CREATE TABLE parent (time timestamptz, v int) PARTITION BY RANGE (time);
	CREATE TABLE part PARTITION OF parent DEFAULT USING tsext;
});

sub reasons
{
	my ($server) = @_;
	return $server->safe_psql('postgres', q{SELECT string_agg(table_name || ': ' || coalesce(stays_hot_because, '-'), ', ' ORDER BY table_name) FROM tsext.tables});
}
is(reasons($node), 'by_schema: -, forced: -, listed: -, part: -, plain: -', 'nothing is decoded yet');
$node->safe_psql('postgres', 'CREATE PUBLICATION part_of_it FOR TABLE listed, forced, parent, TABLES IN SCHEMA published');
is(reasons($node), 'by_schema: it is published, forced: -, listed: it is published, part: it is published, plain: -',
	'published tables stay hot, by name, by schema and by their parent, but not with decoded = off');
$node->safe_psql('postgres', 'CREATE PUBLICATION all_of_it FOR ALL TABLES');
is(reasons($node), 'by_schema: it is published, forced: -, listed: it is published, part: it is published, plain: it is published',
	'FOR ALL TABLES publishes every one');
$node->safe_psql('postgres', 'DROP PUBLICATION all_of_it');

# Bulk loads and compaction leave them alone.
$node->safe_psql('postgres', "INSERT INTO $_ SELECT timestamptz '2024-01-01' + g * interval '1 s', g FROM generate_series(1, 20000) g; SELECT tsext.compact('$_')")
  foreach qw(listed forced plain);
is($node->safe_psql('postgres', q{SELECT string_agg(table_name || ' ' || cold_rows, ', ' ORDER BY table_name) FROM tsext.tables WHERE table_name IN ('listed', 'forced', 'plain')}),
	'forced 20000, listed 0, plain 20000', 'a published table has no segments');

my $slot = q{the database has a logical replication slot};
$node->safe_psql('postgres', q{SELECT pg_create_logical_replication_slot('slot', 'pgoutput')});
is(reasons($node), "by_schema: it is published, forced: -, listed: it is published, part: it is published, plain: $slot", 'a logical slot decodes every table');
$node->safe_psql('postgres', q{CREATE DATABASE other});
$node->safe_psql('other', q{CREATE EXTENSION tsext; CREATE TABLE plain (time timestamptz) USING tsext});
is($node->safe_psql('other', 'SELECT stays_hot_because IS NULL FROM tsext.tables'), 't', 'but not those of another database');
$node->safe_psql('postgres', q{SELECT pg_drop_replication_slot('slot')});
$node->safe_psql('postgres', q{SELECT pg_create_physical_replication_slot('physical', true)});
is(reasons($node), 'by_schema: it is published, forced: -, listed: it is published, part: it is published, plain: -', 'a physical slot decodes nothing');
$node->safe_psql('postgres', q{SELECT pg_drop_replication_slot('physical')});

# A subscriber.
my $subscriber = PostgreSQL::Test::Cluster->new('subscriber');
$subscriber->init;
$subscriber->append_conf('postgresql.conf', 'tsext.compact_background = off');
$subscriber->start;
$subscriber->safe_psql(
	'postgres', q{
	CREATE EXTENSION tsext;
	CREATE SCHEMA published;
	CREATE TABLE listed (time timestamptz, v int) USING tsext;
	CREATE TABLE forced (time timestamptz, v int) USING tsext;
	CREATE TABLE published.by_schema (time timestamptz, v int) USING tsext;
	CREATE TABLE parent (time timestamptz, v int) PARTITION BY RANGE (time);
	CREATE TABLE part PARTITION OF parent DEFAULT USING tsext;
	CREATE TABLE mine (time timestamptz, v int) USING tsext;
});
my $connection = $node->connstr . ' dbname=postgres';
$subscriber->safe_psql('postgres', "CREATE SUBSCRIPTION sub CONNECTION '$connection' PUBLICATION part_of_it");
$subscriber->wait_for_subscription_sync($node, 'sub');
is($subscriber->safe_psql('postgres', q{SELECT string_agg(table_name || ': ' || coalesce(stays_hot_because, '-'), ', ' ORDER BY table_name) FROM tsext.tables
	WHERE table_name IN ('listed', 'mine')}), 'listed: it is the target of a subscription, mine: -', 'a subscribed table stays hot');
is($subscriber->safe_psql('postgres', 'SELECT count(*), sum(v) FROM listed'), '20000|200010000', 'and has its rows');
is($subscriber->safe_psql('postgres', q{SELECT count(*) FROM tsext.segments WHERE table_name IN ('listed', 'forced')}), '0', 'all of them hot');
$node->safe_psql('postgres', 'INSERT INTO listed SELECT now(), g FROM generate_series(1, 100) g');
$node->wait_for_catchup('sub');
is($subscriber->safe_psql('postgres', 'SELECT count(*) FROM listed'), '20100', 'changes arrive');
$subscriber->safe_psql('postgres', 'DROP SUBSCRIPTION sub');
is($subscriber->safe_psql('postgres', q{SELECT stays_hot_because IS NULL FROM tsext.tables WHERE table_name = 'listed'}), 't', 'without the subscription it may be cold');

$subscriber->stop;
$node->stop;
done_testing();
