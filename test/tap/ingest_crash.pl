# kill -9 of the workers and of the server in mid-stream: what HTTP acknowledged is stored, all is up again within seconds.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use Waiting;
use Wire;

my $node = PostgreSQL::Test::Cluster->new('ingest_crash');
my $wire = Wire->new(node => $node, http => PostgreSQL::Test::Cluster::get_free_port(), udp => PostgreSQL::Test::Cluster::get_free_port());
$node->init;
$node->append_conf('postgresql.conf', $wire->conf . q{
tsext.listen_role = 'agent'
tsext.batch_interval = 100ms
restart_after_crash = on
});
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION tsext; CREATE ROLE agent LOGIN; GRANT CREATE ON SCHEMA public TO agent');
ok($wire->wait_for_http, 'the listener is up');
# The process of a listener, which may be about to come.
my $pid = sub {
	my ($listener) = @_;
	return wait_until(sub { $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'tsext $listener listener'") })
	  // die "there is no $listener listener";
};

# A child writes batches of ten until it is told to end; what was acknowledged goes to a file.
my $acknowledged = $node->basedir . '/acknowledged';
my $writer = fork // die "fork: $!";
if ($writer == 0)
{
	my $ends = 0;
	$SIG{TERM} = sub { $ends = 1 };
	open my $file, '>>', $acknowledged or die $!;
	$file->autoflush(1);
	for (my $n = 0; !$ends; $n++)
	{
		my $status = $wire->status('/write', join '', map { "stream,n=$n v=${_}i " . (1700000000000000000 + $n * 1000000 + $_ * 1000) . "\n" } 1 .. 10);
		print $file "$n\n" if $status == 204;
		sleep 0.02 if $status != 204;
	}
	# Not exit: the cluster is the parent's to end.
	require POSIX;
	POSIX::_exit(0);
}
my $seen = sub {
	open my $file, '<', $acknowledged or return 0;
	my @all = <$file>;
	return scalar @all;
};
my $progress = sub {
	my $before = $seen->();
	return wait_until(sub { $seen->() >= $before + 20 });
};
ok($progress->(), 'lines are written');
foreach my $round (1 .. 3)
{
	foreach my $listener (qw(http udp))
	{
		my $log_end = -s $node->logfile;
		kill 'KILL', $pid->($listener);
		my $began = time;
		# The others go on until the postmaster has seen it.
		$node->wait_for_log(qr/database system is ready to accept connections/, $log_end);
		ok($wire->wait_for_http, "up again after kill -9 of the $listener worker");
		cmp_ok(time - $began, '<', 60, 'within a minute');
		ok($progress->(), 'and lines are written again');
	}
}
# The end of a listener by SIGTERM is no crash.
my $http = $pid->('http');
my $launcher = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'tsext launcher'});
$node->safe_psql('postgres', "SELECT pg_terminate_backend($http)");
ok(wait_until(sub { $pid->('http') != $http }), 'another process after pg_terminate_backend');
ok($progress->(), 'to which lines are written');
is($node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'tsext launcher'}), $launcher, 'without a restart of the server');
foreach my $round (1 .. 2)
{
	$node->stop('immediate');
	$node->start;
	ok($progress->(), 'lines are written after a crash of the server');
}
kill 'TERM', $writer;
waitpid $writer, 0;
open my $file, '<', $acknowledged or die $!;
chomp(my @all = <$file>);
$node->safe_psql('postgres', 'CREATE TABLE acknowledged (n int)');
$node->safe_psql('postgres', 'INSERT INTO acknowledged VALUES ' . join ',', map {"($_)"} splice @all, 0, 1000) while @all;
is($node->safe_psql('postgres', q{SELECT count(*) FROM acknowledged a WHERE (SELECT count(*) FROM stream s WHERE s.n = a.n::text) <> 10}), '0', 'every acknowledged request is stored, once');
is($node->safe_psql('postgres', q{SELECT count(*) FROM (SELECT n FROM stream GROUP BY n HAVING count(*) <> 10) s}), '0', 'no request is stored in part');
is($node->safe_psql('postgres', q{SELECT bool_and(lines = stored + rejected) FROM tsext.listener_stats}), 't', 'lines = stored + rejected');

# Datagrams: a clean stop stores what has been read.
ok($wire->wait_for_udp, 'datagrams are listened for');
$wire->datagram("last v=1 1700000000000000000\n");
$wire->datagram("last,n=$_ v=1 1700000000000000000") foreach 1 .. 200;
$node->stop('fast');
$node->start;
is($node->safe_psql('postgres', q{SELECT count(*) FROM last}), '201', 'a stop stores the datagrams that were read');
$node->stop;
done_testing();
