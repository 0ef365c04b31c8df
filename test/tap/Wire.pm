# What the tests of the listeners send with: HTTP by HTTP::Tiny or byte by byte, datagrams, and the counters.
package Wire;
use strict;
use warnings;
use HTTP::Tiny;
use IO::Socket::INET;
use Time::HiRes qw(sleep time);
use Waiting;

sub new
{
	my ($class, %given) = @_;    # node, http, udp: a cluster and its ports
	my $self = bless {%given}, $class;
	$self->{client} = HTTP::Tiny->new(timeout => 180);
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
	return IO::Socket::INET->new(Proto => 'tcp', PeerAddr => "127.0.0.1:$self->{http}", Timeout => 180);
}

# Everything a connection still says until its end; undef when that does not come.
sub rest_of
{
	my ($self, $socket) = @_;
	my $text = '';
	eval {
		local $SIG{ALRM} = sub { die "late\n" };
		alarm 180;
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

# Waits until a listener has dealt with so many lines; its figures then.
sub settle
{
	my ($self, $listener, $lines) = @_;
	wait_until(sub { $self->figures($listener)->{lines} >= $lines });
	return $self->figures($listener);
}

# Waits until datagrams are listened for: those of before are lost.
sub wait_for_udp
{
	my ($self) = @_;
	return $self->{node}->poll_query_until('postgres', q{SELECT address IS NOT NULL FROM tsext.listener_stats WHERE listener = 'udp'});
}

# True when /ping is answered.
sub answers
{
	my ($self) = @_;
	return HTTP::Tiny->new(timeout => 10)->get($self->url('/ping'))->{status} == 204;
}

# Waits for an answer to /ping: true when there was one.
sub wait_for_http { my ($self) = @_; return wait_until(sub { $self->answers }) }

1;
