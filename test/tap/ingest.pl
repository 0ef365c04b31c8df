# The listeners: lines over UDP and HTTP, bad input, limits, locks, DDL in mid-stream, settings.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use IO::Compress::Gzip qw(gzip);
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use Waiting;
use Wire;

# A server that answers and closes before it has read everything.
$SIG{PIPE} = 'IGNORE';

my $node = PostgreSQL::Test::Cluster->new('ingest');
my $wire = Wire->new(node => $node, http => PostgreSQL::Test::Cluster::get_free_port(), udp => PostgreSQL::Test::Cluster::get_free_port());
$node->init;
$node->append_conf('postgresql.conf', $wire->conf . q{
tsext.listen_role = 'agent'
tsext.batch_interval = 200ms
tsext.compact_background = off
fsync = off
});
$node->start;
my $sql = sub { $node->safe_psql('postgres', shift) };
my $set = sub { $sql->("ALTER SYSTEM SET $_") foreach @_; reload_settings($node) };
my $line_of = sub { "$_[0] v=$_[1] 170000000" . '0000000000' };

# What is missing is told once, and waited for.
ok($node->wait_for_log(qr/could not start the tsext http listener: the role of tsext.listen_role does not exist/), 'a missing role is told');
$sql->('CREATE ROLE agent LOGIN; GRANT CREATE ON SCHEMA public TO agent; GRANT CREATE ON DATABASE postgres TO agent');
ok($wire->wait_for_http, 'the listener comes up when the role is there');
is(join(' ', $wire->get('/ready')), qq(503 {"ready":false}\n), 'not ready without the extension');
is($wire->status('/write', 'm v=1'), 503, 'lines are refused for now without the extension');
$sql->('CREATE EXTENSION tsext');
is(join(' ', $wire->get('/ready')), qq(200 {"ready":true}\n), 'ready with it');
is(join(' ', $wire->get('/health')), qq(200 {"status":"healthy"}\n), 'healthy');
is(($wire->get('/ping'))[0], 204, 'ping');
is(($wire->get('/nothing'))[0], 404, 'no such path');
is(($wire->get('/write'))[0], 405, 'GET /write');
ok($wire->wait_for_udp, 'datagrams are listened for');
is($sql->(q{SELECT string_agg(backend_type, ' ' ORDER BY backend_type) FROM pg_stat_activity WHERE usename = 'agent' AND datname = 'postgres'}),
	'tsext http listener tsext udp listener', 'both are visible in pg_stat_activity');

# Every case over the wire: the rows equal those of tsext.write_lines(), datagrams are counted alike.
open my $cases, '<:raw', "$FindBin::RealBin/line_protocol_cases.tsv" or die "cases: $!";
my ($count, %wrong) = (0);
$sql->(q{CREATE FUNCTION same(a text, b text, t text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE n bigint;
BEGIN
  EXECUTE format('SELECT count(*) FROM ((TABLE %1$I.%3$I EXCEPT ALL TABLE %2$I.%3$I) UNION ALL (TABLE %2$I.%3$I EXCEPT ALL TABLE %1$I.%3$I)) d', a, b, t) INTO n;
  RETURN n;
END $$});
while (my $case = <$cases>)
{
	next if $case =~ /^(#|id\t)/;
	chomp $case;
	my ($id, $precision, $input, $expect, $points) = split /\t/, $case;
	my $text = JSON::PP->new->allow_nonref->utf8->decode($input);
	my $bytes = ref $text ? pack('H*', $text->{hex}) : do { utf8::encode($text); $text };
	my $stored = @{ decode_json($points) };
	my $rejected = $expect eq 'ok' ? 0 : 1;
	$count++;
	$sql->("CREATE SCHEMA wire_$id AUTHORIZATION agent");
	my $before = $wire->figures('http');
	my ($status, $answer) = $wire->post("/write?db=wire_$id&precision=$precision", $bytes);
	my $after = $wire->figures('http');
	$wrong{$id} .= " status $status $answer" if $status != ($rejected ? 400 : 204);
	$wrong{$id} .= ' partial' if ($expect eq 'partial') != ($answer =~ /partial write/ ? 1 : 0);
	my @seen = map { $after->{$_} - $before->{$_} } qw(lines stored rejected);
	$wrong{$id} .= " counted @seen" if "@seen" ne join ' ', $stored + $rejected, $stored, $rejected;
	if ($stored > 0)
	{
		my $hex = unpack 'H*', $bytes;
		$sql->("CREATE SCHEMA twin_$id; SELECT tsext.write_lines(convert_from('\\x$hex', 'UTF8'), '$precision', 'twin_$id')");
		my $differing = $points =~ /"time_ns": null/ ? 0 : $sql->("SELECT sum(n) FROM (SELECT same('wire_$id', 'twin_$id', relname) AS n FROM pg_class WHERE relkind = 'r' AND relnamespace IN ('wire_$id'::regnamespace, 'twin_$id'::regnamespace)) s");
		$wrong{$id} .= " $differing rows differ" if $differing ne '0';
	}
	next if $precision ne 'ns';
	my $udp_before = $wire->figures('udp')->{lines};
	$wire->datagram($bytes);
	my $udp = $wire->settle('udp', $udp_before + $stored + $rejected);
	$wrong{$id} .= " datagram counted $udp->{lines} of $udp_before" if $udp->{lines} != $udp_before + $stored + $rejected;
}
is(join(', ', map {"$_:$wrong{$_}"} sort keys %wrong), '', 'every case over HTTP and UDP');
cmp_ok($count, '>=', 60, 'there were cases');
my $tables = q{SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname LIKE 'wire%' AND relkind = 'r'};
cmp_ok($sql->("SELECT count(*) FROM ($tables) t"), '>', 20, 'they made tables');
is($sql->("SELECT count(*) FROM pg_class c JOIN pg_am a ON a.oid = relam WHERE relnamespace::regnamespace::text LIKE 'wire%' AND relkind = 'r' AND amname <> 'tsext'"), '0',
	'all of them USING tsext');

my $balanced = sub {
	my ($name) = @_;
	foreach my $listener (qw(udp http))
	{
		my $figures = $wire->figures($listener);
		is($figures->{lines}, $figures->{stored} + $figures->{rejected}, "lines = stored + rejected ($listener, $name)");
	}
};
$balanced->('cases');
is($sql->(q{SELECT count(*) > 0 AND bool_and(peer LIKE '127.0.0.1:%' AND length(line) > 0) FROM tsext.rejected_lines}), 't', 'rejected lines are shown');

# A datagram's line is there after the interval.
my $began = time;
$wire->datagram('quick v=1');
ok($node->poll_query_until('postgres', q{SELECT to_regclass('quick') IS NOT NULL}), 'a datagram makes a table');
cmp_ok(time - $began, '<', 60, 'soon');

# Bodies: gzip, several members, chunked, no line end at the end, nothing at all.
my $lines = join '', map { "body,n=$_ v=$_ 1700000000000000000\n" } 1 .. 1000;
gzip(\$lines, \my $packed);
is($wire->status('/write', $packed, 'Content-Encoding' => 'gzip'), 204, 'gzip');
is($wire->status('/write', $packed . $packed, 'Content-Encoding' => 'gzip'), 204, 'two members');
my @parts = ($lines =~ /(.{1,997})/sg);
is($wire->status('/write', sub { shift @parts }), 204, 'chunked');
is($sql->('SELECT count(*), sum(v) FROM body'), '3000|1501500', 'with all lines; equal ones of one request are one');
is($wire->status('/write', ''), 204, 'an empty body');
is($wire->status('/write', '', 'Content-Encoding' => 'gzip'), 204, 'gzip of nothing');
is($wire->status('/write', substr($packed, 0, 100), 'Content-Encoding' => 'gzip'), 400, 'gzip cut off');
is($wire->status('/write', 'no gzip', 'Content-Encoding' => 'gzip'), 400, 'no gzip');
is($wire->status('/write', 'x', 'Content-Encoding' => 'br'), 400, 'an unknown encoding');
is($wire->status('/write?precision=fortnight', 'm v=1'), 400, 'an unknown precision');
is($wire->status('/write?db=nosuch', 'm v=1'), 404, 'an unknown database');
is($wire->status('/write?db=pg_catalog', 'm v=1'), 404, 'the catalog is no database');
is($wire->status('/write?rp=autogen', 'm v=1'), 204, 'a retention policy');
is($wire->status('/api/v2/write?org=o&bucket=public/autogen&precision=s', 'm v=1 1700000000'), 204, 'version 2');
like(($wire->post('/api/v2/write?bucket=public', 'm v='))[1], qr/^\{"code":"invalid","message":"unable to parse 'm v=': [a-z].*"\}$/, 'its errors');

# Too much of everything.
my $zeros = "\0" x (30 * 1024 * 1024);
gzip(\$zeros, \my $bomb);
cmp_ok(length $bomb, '<', 100_000, 'a gzip bomb is small');
is($wire->status('/write', $bomb, 'Content-Encoding' => 'gzip'), 413, 'and refused');
is($wire->status('/write', 'x' x (26 * 1024 * 1024)), 413, 'a large body');
my $megabytes = 40;
is($wire->status('/write', sub { $megabytes-- > 0 ? 'y' x (1024 * 1024) : undef }), 413, 'a large body in chunks');
my $socket = $wire->connection;
print $socket "POST /write HTTP/1.1\r\nHost: x\r\nContent-Length: 1073741824\r\n\r\n";
like($wire->rest_of($socket) // 'late', qr{^HTTP/1.1 413}, 'a gigabyte is refused before it is sent');
$socket = $wire->connection;
print $socket "GET /ping HTTP/1.1\r\nHost: x\r\nX-Long: " . 'h' x 100_000 . "\r\n\r\n";
like($wire->rest_of($socket) // 'late', qr{^(HTTP/1.1 4|$)}, 'a long header is refused');
is(($wire->get('/ping'))[0], 204, 'the listener goes on');

# Datagrams of any bytes, and the largest there are.
my $udp_lines = $wire->figures('udp')->{lines};
srand 7;
$wire->datagram(join '', map { chr int rand 256 } 1 .. 1 + rand 2000) foreach 1 .. 300;
my $large = join '', map { sprintf "large,n=%d v=%di 1700000000000000000\n", $_, $_ } 1 .. 1500;
my $kept = () = ($large = substr($large, 0, 65507)) =~ /\n/g;
# The socket may be full of the others, and what does not fit into it is lost.
ok(wait_until(sub { $wire->datagram($large); sleep 0.5; $sql->(q{SELECT to_regclass('large') IS NOT NULL}) eq 't' }), 'a datagram of 64 kB');
cmp_ok($sql->('SELECT count(*) FROM large'), '>=', $kept, 'with all its whole lines');
cmp_ok($wire->figures('udp')->{lines}, '>', $udp_lines, 'random bytes are counted');
$balanced->('random bytes');

# Names are names.
is($wire->status('/write', qq{x"\\;\\ DROP\\ TABLE\\ body;--,a"b='c'\\;-- f"x=1 1700000000000000000}), 204, 'SQL in names');
is($sql->(q{SELECT count(*) FROM "x""\; DROP TABLE body;--"}), '1', 'is a name');
$set->('tsext.max_tables = 60');
my ($status, $answer) = $wire->post('/write?db=public', join "\n", map { "many_$_ v=1 1700000000000000000" } 1 .. 2000);
is($status, 400, 'too many measurements');
like($answer, qr/partial write: .* dropped=\d+/, 'some are stored');
cmp_ok($sql->(q{SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'}), '<=', 60, 'as many as may be');
$set->('tsext.max_tables = 1000');
$balanced->('measurements');

# Types, DDL in mid-stream, rights.
is($wire->status('/write', "kinds,t=a v=1.5 1700000000000000000"), 204, 'a float');
is($wire->status('/write', "kinds,t=a v=2i 1700000001000000000"), 204, 'an integer in its column');
($status, $answer) = $wire->post('/write', qq{kinds,t=a v="x" 1700000002000000000\nkinds,t=a v=3 1700000003000000000});
is($status, 400, 'a string in its column');
is($sql->('SELECT count(*), sum(v) FROM kinds'), '3|6.5', 'costs its neighbours nothing');
$sql->('ALTER TABLE kinds OWNER TO agent; ALTER TABLE kinds DROP COLUMN v');
is($wire->status('/write', "kinds,t=a v=4 1700000004000000000"), 204, 'a dropped column comes again');
is($sql->('SELECT count(*), sum(v) FROM kinds'), '4|4', 'with the new value');
$sql->('DROP TABLE kinds');
is($wire->status('/write', "kinds,t=a v=5 1700000005000000000"), 204, 'a dropped table comes again');
$sql->('ALTER TABLE kinds OWNER TO postgres; REVOKE ALL ON kinds FROM agent');
($status, $answer) = $wire->post('/write', "kinds,t=a v=6 1700000006000000000\nfine v=1 1700000006000000000");
is($status, 400, 'a revoked right');
like($answer, qr/partial write/, 'costs its neighbours nothing');
is($sql->(q{SELECT count(*) FROM fine}), '1', 'which are stored');
$sql->('GRANT INSERT, SELECT ON kinds TO agent');
is($wire->status('/write', "kinds,t=a v=7 1700000007000000000"), 204, 'and works when it is back');
$balanced->('DDL');

# A lock: HTTP says "later", datagrams wait.
my $locker = $node->background_psql('postgres');
$locker->query_safe('BEGIN; LOCK TABLE kinds');
$began = time;
is($wire->status('/write', "kinds,t=a v=8 1700000008000000000"), 503, 'a locked table: later');
cmp_ok(time - $began, '<', 100, 'soon');
$wire->datagram('kinds,t=a v=9 1700000009000000000');
sleep 1;
$locker->query_safe('COMMIT');
$locker->quit;
ok($node->poll_query_until('postgres', 'SELECT count(*) = 1 FROM kinds WHERE v = 9'), 'the datagram is stored when the lock is gone');
is($sql->('SELECT count(*) FROM kinds WHERE v = 8'), '0', 'the refused request is not');
$balanced->('locks');

# Slow and idle clients.
$set->('tsext.http_request_timeout = 2', 'tsext.http_idle_timeout = 4');
my @slow = map { $wire->connection } 1 .. 3;
syswrite $slow[0], "POST /write HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n";
syswrite $slow[1], "POST /write HTTP/1.1\r\nHost: x\r\n";
$began = time;
my @gone;
while (time - $began < 50 && grep { !defined $gone[$_] } 0 .. 2)
{
	foreach my $i (0 .. 2)
	{
		next if defined $gone[$i];
		my $written = $i == 2 ? 1 : syswrite $slow[$i], 'x';
		my $set = '';
		vec($set, fileno $slow[$i], 1) = 1;
		my $ended = select($set, undef, undef, 0) && !sysread $slow[$i], my $byte, 1;
		$gone[$i] = time - $began if !$written || $ended;
	}
	sleep 0.5;
}
# Without these settings: after 60 and 120 s.
cmp_ok($gone[0] // 99, '<', 50, 'a body that drips is cut');
cmp_ok($gone[1] // 99, '<', 50, 'a header that drips is cut');
cmp_ok($gone[2] // 99, '<', 50, 'a connection that says nothing is closed');
$set->('tsext.http_idle_timeout = 120', 'tsext.http_request_timeout = 60', 'tsext.http_max_connections = 600');
ok($wire->wait_for_http, 'a new limit of connections');
my @idle = grep {defined} map { $wire->connection } 1 .. 900;
is(scalar @idle, 900, '900 idle connections at a limit of 600');
is($wire->status('/write', 'm v=2'), 204, 'do not keep others out');
@idle = ();

# Settings.
my $old = $wire->{http};
$wire->{http} = PostgreSQL::Test::Cluster::get_free_port();
$set->("tsext.http_listen = '127.0.0.1:$wire->{http}'", 'tsext.udp_precision = ms', "tsext.listen_schema = 'public'");
ok($wire->wait_for_http, 'another port after a reload');
ok(!IO::Socket::INET->new(Proto => 'tcp', PeerAddr => "127.0.0.1:$old"), 'the old one is closed');
$wire->datagram('milliseconds v=1 1700000000123');
ok($node->poll_query_until('postgres', q{SELECT to_regclass('milliseconds') IS NOT NULL}), 'datagrams in milliseconds');
is($sql->(q{SELECT extract(epoch FROM time) FROM milliseconds}), '1700000000.123000', 'are read as such');
$set->("tsext.http_listen = '0.0.0.0:$wire->{http}'");
ok($node->wait_for_log(qr/is not a loopback address/), 'no other address than loopback');
ok($node->poll_query_until('postgres', q{SELECT address IS NULL FROM tsext.listener_stats WHERE listener = 'http'}), 'is listened on');
$set->(q{tsext.listen_external = on});
ok($wire->wait_for_http, 'unless it is allowed');
is($wire->status('/write', 'm v=3'), 401, 'and then tokens are needed');
$set->(q{tsext.http_listen = ''}, 'tsext.listen_external = off');
ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'tsext http listener'}), 'off');
$set->("tsext.http_listen = '127.0.0.1:$wire->{http}'");
ok($wire->wait_for_http, 'on again');
$sql->('ALTER ROLE agent SUPERUSER');
is($wire->status('/write', 'm v=4'), 503, 'a superuser is refused');
$sql->('ALTER ROLE agent NOSUPERUSER');
is($wire->status('/write', 'm v=5'), 204, 'and welcome when he is none');
$sql->('DROP EXTENSION tsext CASCADE');
is($wire->status('/write', 'm v=6'), 503, 'without the extension: later');
$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|terminated by signal|TRAP:/, 'nothing crashed');
done_testing();
