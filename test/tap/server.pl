# A server with tsext preloaded: the extension is created, dropped, and its rows survive a restart and an immediate stop.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('server');
$node->init;
$node->start;
is($node->safe_psql('postgres', 'SHOW shared_preload_libraries') =~ m{/tsext$}, 1, 'tsext is preloaded');
$node->safe_psql('postgres', 'CREATE EXTENSION tsext');
like($node->safe_psql('postgres', 'SELECT tsext.version()'), qr/^\d+\.\d+\.\d+$/, 'the library tells its version');
$node->safe_psql('postgres',
	q{CREATE TABLE t (time timestamptz NOT NULL, v float8) USING tsext;
	  INSERT INTO t SELECT timestamptz '2024-01-01 00:00+00' + g * interval '1 min', g FROM generate_series(1, 1000) g});
my $sum = q{SELECT count(*), sum(v), min(time) AT TIME ZONE 'UTC', max(time) AT TIME ZONE 'UTC' FROM t};
my $before = $node->safe_psql('postgres', $sum);
is($before, '1000|500500|2024-01-01 00:01:00|2024-01-01 16:40:00', 'rows are there');
$node->restart;
is($node->safe_psql('postgres', $sum), $before, 'rows are there after a restart');
$node->stop('immediate');
$node->start;
is($node->safe_psql('postgres', $sum), $before, 'rows are there after crash recovery');
$node->safe_psql('postgres', 'DROP TABLE t; DROP EXTENSION tsext; CREATE EXTENSION tsext');
is($node->safe_psql('postgres', 'SELECT count(*) FROM tsext.segment'), '0', 'the extension can be made again');
$node->stop;
done_testing();
