# Who may write and read over HTTP: tokens, roles, schemas; queries; standby.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use MIME::Base64;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use Waiting;
use Wire;

my $node = PostgreSQL::Test::Cluster->new('access');
my $wire = Wire->new(node => $node, http => PostgreSQL::Test::Cluster::get_free_port(), udp => PostgreSQL::Test::Cluster::get_free_port());
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', $wire->conf . q{
tsext.listen_role = 'agent'
tsext.http_auth = on
tsext.compact_background = off
max_worker_processes = 16
});
$node->start;
my $sql = sub { $node->safe_psql('postgres', shift) };
$sql->(q{CREATE EXTENSION tsext; CREATE ROLE agent LOGIN; CREATE ROLE writer; CREATE ROLE reader; CREATE ROLE stranger; CREATE ROLE chief SUPERUSER;
GRANT writer, reader TO agent; CREATE SCHEMA plant AUTHORIZATION writer; GRANT USAGE ON SCHEMA plant TO reader; GRANT CREATE ON DATABASE postgres TO writer;
ALTER DEFAULT PRIVILEGES FOR ROLE writer IN SCHEMA plant GRANT SELECT ON TABLES TO reader});
ok($wire->wait_for_http, 'the listener is up');
my %secret;
$secret{w} = $sql->(q{SELECT tsext.create_token('w', 'writer', 'plant')});
$secret{r} = $sql->(q{SELECT tsext.create_token('r', 'reader', 'plant', '{read}')});
$secret{both} = $sql->(q{SELECT tsext.create_token('both', 'writer', 'plant', '{read,write}', now() + interval '1 hour')});
$secret{late} = $sql->(q{SELECT tsext.create_token('late', 'writer', 'plant', '{write}', now() - interval '1 s')});
$secret{stranger} = $sql->(q{SELECT tsext.create_token('stranger', 'stranger', 'plant')});
my $token = sub { my $name = shift; (Authorization => "Token $secret{$name}") };
my $basic = sub { (Authorization => 'Basic ' . encode_base64(join(':', @_), '')) };

is($wire->status('/write', 'm v=1'), 401, 'no token');
is($wire->status('/write', 'm,by=token v=1', $token->('w')), 204, 'Token secret');
is($wire->status('/write', 'm,by=bearer v=1', Authorization => "Bearer $secret{w}"), 204, 'Bearer secret');
is($wire->status('/write', 'm,by=pair v=1', Authorization => "Token w:$secret{w}"), 204, 'Token name:secret');
is($wire->status('/write', 'm,by=basic v=1', $basic->('w', $secret{w})), 204, 'Basic');
is($wire->status("/write?u=w&p=$secret{w}", 'm,by=arguments v=1'), 204, 'u and p');
is($wire->status('/api/v2/write?bucket=plant', 'm,by=v2 v=1', $token->('w')), 204, 'version 2');
is($sql->(q{SELECT count(*), (SELECT tableowner FROM pg_tables WHERE schemaname = 'plant' AND tablename = 'm') FROM plant.m}), '6|writer', 'as the role of the token, in its schema');
is($wire->status('/write', 'm v=1', $basic->('r', $secret{w})), 401, 'the name of another token');
is($wire->status('/write', 'm v=1', $basic->('w', 'wrong')), 401, 'a wrong secret');
is($wire->status('/write', 'm v=1', $basic->('nobody', 'wrong')), 401, 'a wrong name');
is($wire->status('/write', 'm v=1', Authorization => 'Token ' . 'x' x 5000), 401, 'a long secret');
is($wire->status('/write', 'm v=1', Authorization => 'Digest what'), 401, 'another scheme');
is($wire->status('/write', 'm v=1', $token->('late')), 401, 'an expired token');
is($wire->status('/write', 'm v=1', $token->('stranger')), 401, 'the role of a stranger');
is($wire->status('/write', 'm v=1', $token->('r')), 403, 'no right to write');
is($wire->status('/write?db=public', 'm v=1', $token->('w')), 404, 'not its schema');
is($wire->status('/write?db=plant', 'm v=1', $token->('w')), 204, 'its schema by name');
is(($wire->get('/ping'))[0], 204, 'ping is free');
is(($wire->get('/metrics'))[0], 401, 'figures are not');
like(($wire->get('/metrics', $token->('r')))[1], qr/^tsext_listener_lines_total\{listener="http"\} 7$/m, 'with a token they are');
like(($wire->get('/stats', $token->('r')))[1], qr/"listener_stored" : 7/, 'as JSON');
$sql->('CREATE TABLE plant.own (time timestamptz NOT NULL, v float8)');
is($wire->status('/write', 'own v=1', $token->('w')), 400, 'a table that is not the role\'s');
is($sql->('SELECT count(*) FROM plant.own'), '0', 'stays as it is');
# A trigger cannot leave the role.
$sql->(q{SET ROLE writer; CREATE TABLE plant.trap (time timestamptz NOT NULL, v float8);
CREATE FUNCTION plant.leave() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN EXECUTE 'RESET ROLE'; RETURN NEW; END$$;
CREATE TRIGGER leave BEFORE INSERT ON plant.trap FOR EACH ROW EXECUTE FUNCTION plant.leave()});
is($wire->status('/write', 'trap v=1', $token->('w')), 400, 'a trigger that changes the role fails');

is($wire->query('SELECT 1', '', $token->('w')), '403 {"error":"the token does not have the right to do this"}', 'no right to read');
is($wire->query('SELECT count(*), current_user AS me FROM m', 'epoch=ms', $token->('r')),
	'200 {"results":[{"statement_id":0,"series":[{"name":"m","columns":["count","me"],"values":[[7,"reader"]]}]}]}', 'SQL as the token\'s role');
is($wire->query('SHOW DATABASES', '', $token->('r')), '200 {"results":[{"statement_id":0,"series":[{"name":"databases","columns":["name"],"values":[["plant"]]}]}]}', 'sees its schema');
like($wire->query('SHOW TAG KEYS ON "public"', '', $token->('r')), qr/^404 /, 'and no other');
like($wire->query(q{SELECT set_config('role', 'writer', false)}, '', $token->('r')), qr/^\d+ .*cannot set parameter/, 'cannot become another role');
foreach my $statement ('DELETE FROM m', 'DROP TABLE m', 'WITH d AS (DELETE FROM m RETURNING 1) SELECT * FROM d', 'SELECT 1; SELECT 2', 'COPY m TO STDOUT',
	q{SELECT set_config('transaction_read_only', 'off', false)}, 'CREATE DATABASE other', 'SET ROLE writer', 'BEGIN', '')
{
	like($wire->query($statement, '', $token->('r')), qr/^40[03] /, "refused: $statement");
}
like($wire->query('CREATE DATABASE other', '', $token->('both')), qr/^403 /, 'a token stays in its schema');
like($wire->query('CREATE DATABASE plant', '', $token->('both')), qr/^200 /, 'which is there already');
$node->safe_psql('postgres', q{ALTER SYSTEM SET tsext.http_query_timeout = '1s'});
$node->safe_psql('postgres', 'ALTER SYSTEM SET tsext.http_query_rows = 10');
reload_settings($node);
my $began = time;
like($wire->query('SELECT pg_sleep(600)', '', $token->('r')), qr/^408 /, 'a long query');
cmp_ok(time - $began, '<', 100, 'is ended');
$node->safe_psql('postgres', 'ALTER SYSTEM RESET tsext.http_query_timeout');
reload_settings($node);
like($wire->query('SELECT g FROM generate_series(1, 11) g', '', $token->('r')), qr/^400 .*more than 10 rows/, 'too many rows');
like($wire->query('SELECT g FROM generate_series(1, 10) g', '', $token->('r')), qr/^200 /, 'as many as may be');
is($wire->query(q{SELECT NULL AS a, 'NaN'::float8 AS b, 1.50 AS c, true AS d, E'q"\\\\\n' AS e, '{"x":[1]}'::jsonb AS f, '2024-01-01 00:00:00.25+00'::timestamptz AS g, 'infinity'::timestamptz AS h}, '', $token->('r')),
	'200 {"results":[{"statement_id":0,"series":[{"name":"result","columns":["a","b","c","d","e","f","g","h"],"values":[[null,null,1.50,true,"q\"\\\\\n",{"x": [1]},"2024-01-01T00:00:00.25Z",null]]}]}]}', 'values');
is($wire->query(q{SELECT 'a,b' AS x, '2024-01-01 00:00:00+00'::timestamptz AS t}, 'epoch=s', $token->('r'), Accept => 'application/csv'), qq(200 name,tags,x,t\nresult,,"a,b",1704067200), 'CSV');
$sql->(q{SELECT tsext.revoke_token('w')});
is($wire->status('/write', 'm v=1', $token->('w')), 401, 'a revoked token, at once');
$sql->('REVOKE reader FROM agent');
like($wire->query('SELECT 1', '', $token->('r')), qr/^401 /, 'a role that the listener has lost');
$sql->('GRANT reader TO agent; DROP ROLE stranger');
is($wire->status('/write', 'm v=1', $token->('stranger')), 401, 'a role that is gone');
$sql->(q{UPDATE tsext.token SET role = 'chief' WHERE name = 'both'});
is($wire->status('/write', 'm v=1', $token->('both')), 401, 'a superuser\'s token');
unlike(slurp_file($node->logfile), qr/\Q$secret{w}\E/, 'no secret in the log');

# Dumped and restored, tokens work as before.
$node->command_ok([ 'pg_dump', '-f', $node->basedir . '/dump.sql', 'postgres' ], 'dump');
$node->safe_psql('template1', 'CREATE DATABASE copy');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $node->basedir . '/dump.sql', 'copy' ], 'restore');
is($node->safe_psql('copy', 'SELECT string_agg(name, chr(32) ORDER BY name) FROM tsext.token'), 'both late r stranger', 'with the tokens');

# A standby has no listener until it is promoted.
$node->safe_psql('postgres', q{SELECT tsext.create_token('after', 'writer', 'plant')});
$secret{after} = $sql->(q{SELECT tsext.revoke_token('after'); SELECT tsext.create_token('after', 'writer', 'plant')}) =~ s/^\n//r;
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby);
is($standby->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'tsext%listener'}), '0', 'no listener on a standby');
$node->stop;
ok(!$wire->answers, 'nobody answers');
$standby->promote;
$wire->{node} = $standby;
ok($wire->wait_for_http, 'the promoted one does');
is($wire->status('/write', 'm v=9', $token->('after')), 204, 'and stores');
$standby->stop;
unlike(slurp_file($_->logfile), qr/PANIC|terminated by signal|TRAP:/, 'nothing crashed') foreach $node, $standby;
done_testing();
