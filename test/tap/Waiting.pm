# Waiting for what a test has set off, however slow the machine: until it is there, not for a time after which it should be.
package Waiting;
use strict;
use warnings;
use Cwd;
use Exporter qw(import);
use POSIX qw(fmod);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(sleep time);

our @EXPORT = qw(wait_until reload_settings killed_by start_again keep_off_the_hour);

# Calls the function until it returns something true, which is returned; undef when it never did.
sub wait_until
{
	my ($condition) = @_;
	my $until = time + $PostgreSQL::Test::Utils::timeout_default;
	while (1)
	{
		my $result = $condition->();
		return $result if $result;
		return undef if time > $until;
		sleep 0.1;
	}
}

# Makes the server read its settings again. Then every process has been told: the postmaster tells all when it has read them,
# and only then lets anybody in.
sub reload_settings
{
	my ($node) = @_;
	my $loaded = $node->safe_psql('postgres', 'SELECT pg_conf_load_time()');
	$node->reload;
	$node->poll_query_until('postgres', "SELECT pg_conf_load_time() > '$loaded'") or die 'the settings were not read again';
	return;
}

# Runs a statement during which a stop point kills the server; waits until it is up again, by its log: a connection before the
# postmaster has seen the crash, or during recovery, would fail. True when it was killed; $error gets what psql said.
sub killed_by
{
	my ($node, $statement, $error) = @_;
	my $log_end = -s $node->logfile;
	my $status = $node->psql('postgres', $statement, stdout => \my $out, stderr => $error // \my $ignored);
	return 0 if $status == 0;
	$node->wait_for_log(qr/database system is ready to accept connections/, $log_end);
	return 1;
}

# Starts a server that was killed and does not restart by itself. First all its processes must be gone: orphans leave when they
# notice that the postmaster is dead. A killed postmaster may stay a zombie, which a process id test takes for alive.
sub start_again
{
	my ($node) = @_;
	my $data = Cwd::realpath($node->data_dir);
	wait_until(sub { !grep { (readlink $_ // '') eq $data } glob '/proc/[0-9]*/cwd' }) or die 'processes of the killed server stay';
	unlink $node->data_dir . '/postmaster.pid', $node->host . '/.s.PGSQL.' . $node->port . '.lock';
	$node->{_pid} = undef;
	$node->start;
	return;
}

# Waits until the hour has still a minute to go: for what compares now() of one moment with now() of the next. Days, months and
# years end with an hour too, in nearly every time zone.
sub keep_off_the_hour
{
	my $left = 3600 - fmod(time, 3600);
	sleep $left + 1 if $left < 60;
	return;
}

1;
