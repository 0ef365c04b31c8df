# What the tests of the listeners send with: HTTP by HTTP::Tiny or byte by byte, datagrams, and the counters.
package Wire;
use strict;
use warnings;
use HTTP::Tiny;
use IO::Socket::INET;
use Time::HiRes qw(sleep time);

sub new
{
	my ($class, %given) = @_;    # node, http, udp: a cluster and its ports
	my $self = bless {%given}, $class;
	$self->{client} = HTTP::Tiny->new(timeout => 30);
	return $self;
}

# The lines for postgresql.conf.
sub conf
{
	my ($self) = @_;
	return "tsext.udp_listen = '127.0.0.1:$self->{udp}'\ntsext.http_listen = '127.0.0.1:$self->{http}'\n";
}

sub url { my ($self, $path) = @_; return "http://127.0.0.1:$self->{http}$path" }

# (status, body) of a POST; extra headers by name.
sub post
{
	my ($self, $path, $body, %headers) = @_;
	my $answer = $self->{client}->post($self->url($path), { content => $body, headers => \%headers });
	return ($answer->{status}, $answer->{content});
}
sub status { my ($self, @post) = @_; my ($status) = $self->post(@post); return $status }

sub get
{
	my ($self, $path, %headers) = @_;
	my $answer = $self->{client}->get($self->url($path), { headers => \%headers });
	return ($answer->{status}, $answer->{content});
}

# The answer to a query, its status in front.
sub query
{
	my ($self, $text, $arguments, %headers) = @_;
	my $form = 'q=' . $text =~ s/([^A-Za-z0-9_.-])/sprintf('%%%02X', ord($1))/ger;
	my ($status, $body) = $self->post('/query?' . ($arguments // ''), $form, 'Content-Type' => 'application/x-www-form-urlencoded', %headers);
	$body =~ s/\n$//;
	return "$status $body";
}

sub datagram
{
	my ($self, @texts) = @_;
	my $socket = IO::Socket::INET->new(Proto => 'udp', PeerAddr => "127.0.0.1:$self->{udp}") or die "udp: $!";
	foreach my $text (@texts) { $socket->send($text) // die "send: $!" }
	return;
}

# A connection to write to by hand.
sub connection
{
	my ($self) = @_;
	return IO::Socket::INET->new(Proto => 'tcp', PeerAddr => "127.0.0.1:$self->{http}", Timeout => 10);
}

# Everything a connection still says until its end, at most so many seconds.
sub rest_of
{
	my ($self, $socket, $seconds) = @_;
	my $text = '';
	eval {
		local $SIG{ALRM} = sub { die "late\n" };
		alarm $seconds;
		while (sysread($socket, my $part, 65536)) { $text .= $part }
		alarm 0;
	};
	alarm 0;
	return $@ eq "late\n" ? undef : $text;
}

# Figures of tsext.listener_stats as a hash.
sub figures
{
	my ($self, $listener, $database) = @_;
	my @columns = qw(lines stored rejected datagrams requests batches failed_batches datagrams_dropped);
	my $row = $self->{node}->safe_psql($database // 'postgres',
		'SELECT ' . join(', ', @columns) . " FROM tsext.listener_stats WHERE listener = '$listener'");
	my %figures;
	@figures{@columns} = split /\|/, $row;
	return \%figures;
}

# Waits until the figures of a listener say that all datagrams so far have been dealt with. They are unchanged for half a second.
sub settle
{
	my ($self, $listener, $lines) = @_;
	my $until = time + 30;
	while (time < $until)
	{
		my $now = $self->figures($listener);
		return $now if $now->{lines} >= $lines;
		sleep 0.1;
	}
	return $self->figures($listener);
}

# Waits for an answer to /ping: true when there was one.
sub wait_for_http
{
	my ($self, $seconds) = @_;
	my $until = time + ($seconds // 30);
	while (time < $until)
	{
		my ($status) = HTTP::Tiny->new(timeout => 2)->get($self->url('/ping'))->{status};
		return 1 if $status == 204;
		sleep 0.1;
	}
	return 0;
}

1;
