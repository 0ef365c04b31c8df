# Alert rules beyond one session: what listeners get, what a crash leaves, changes while an alert is evaluated, dump and
# restore, and the scheduler.
use strict;
use warnings;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Waiting;

my $node = PostgreSQL::Test::Cluster->new('alert');
$node->init;
# Alerts are paused where a test evaluates them itself.
$node->append_conf('postgresql.conf', "tsext.compact_background = off\nrestart_after_crash = on");
$node->start;
$node->safe_psql(
	'postgres', q{
	CREATE SCHEMA ext;
	CREATE EXTENSION tsext SCHEMA ext;
	CREATE TABLE load (host text, usage float8);
	CREATE FUNCTION paused(job int) RETURNS int LANGUAGE sql AS 'SELECT job_id FROM ext.alter_job(job, scheduled => false)';
	CREATE ROLE watcher LOGIN;
	GRANT SELECT ON load TO watcher;
	GRANT USAGE ON SCHEMA ext TO watcher;
});

# Runs SQL in a session that listens; returns the notifications as [channel, payload].
sub notifications
{
	my ($sql, $database) = @_;
	my ($status, $output, $errors) =
	  $node->psql($database // 'postgres', "LISTEN tsext_alert; LISTEN ops;\n$sql\nSELECT 1;", on_error_stop => 0);
	my @found;
	while ($output =~ /Asynchronous notification "(\w+)" with payload "(.*)" received from/g)
	{
		my ($channel, $payload) = ($1, $2);
		push @found, [ $channel, decode_json($payload) ];
	}
	return @found;
}

sub summary { return join(' ', map { "$_->[0]:" . ($_->[1]{labels}{host} // '-') . "=$_->[1]{state}" } @_); }

# ---- notifications ----

$node->safe_psql('postgres', q{INSERT INTO load VALUES ('a', 95.5), ('b', 50)});
my $job = $node->safe_psql('postgres', q{SELECT paused(tsext.create_alert('cpu', 'SELECT host, usage AS value FROM load', 'value > 90'))});
my @got = notifications("CALL ext.run_job($job);");
is(scalar(@got), 1, 'one change, one notification');
is($got[0][0], 'tsext_alert', 'on the default channel');
my $payload = $got[0][1];
is(join(',', sort keys %$payload), 'at,labels,name,state,value', 'the payload has these members');
is("$payload->{name} $payload->{state} $payload->{value} $payload->{labels}{host}", 'cpu firing 95.5 a', 'and these values');
like($payload->{at}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?\+00:00$/, 'a time in UTC');
is($node->safe_psql('postgres', "SELECT at = '$payload->{at}' FROM tsext.alert_history"), 't', 'the time of the history');
is(scalar(notifications("CALL ext.run_job($job);")), 0, 'no change, no notification');
is(summary(notifications("UPDATE load SET usage = 145.5 - usage; CALL ext.run_job($job);")),
	'tsext_alert:a=resolved tsext_alert:b=firing', 'two changes');
is(summary(notifications("BEGIN; UPDATE load SET usage = 0; CALL ext.run_job($job); ROLLBACK;")),
	'', 'what is rolled back is not told');
is($node->safe_psql('postgres', q{SELECT string_agg(state, ' ' ORDER BY labels) FROM tsext.alerts}), 'resolved firing', 'nor kept');

@got = notifications("ALTER TABLE load RENAME TO gone; CALL ext.run_job($job); CALL ext.run_job($job);");
is(scalar(@got), 1, 'an error is told once');
is("$got[0][1]{name} $got[0][1]{state} $got[0][1]{sqlstate} $got[0][1]{message}",
	'cpu error 42P01 relation "load" does not exist', 'with what it is');
@got = notifications("ALTER TABLE gone RENAME TO load; CALL ext.run_job($job); CALL ext.run_job($job);");
is(scalar(@got) . " $got[0][1]{state}", '1 ok', 'and its end');
is(summary(notifications(q{SELECT tsext.alter_alert('cpu', notify_channel => 'ops');
	SELECT tsext.alter_alert('cpu', enabled => false);})), 'ops:b=resolved', 'what fires is resolved when an alert is disabled');
# A channel of the longest name, with characters that need quotes.
is(summary(notifications(qq{SELECT tsext.drop_alert('cpu');})), '', 'nothing fires, nothing is told');
my $long = 'c' x 63;
$job = $node->safe_psql('postgres', qq{SELECT paused(tsext.create_alert('odd "name" \\ é', 'SELECT usage AS value, ''"x" \\ '' || E''\\n\\té'' AS host FROM load LIMIT 1', 'true', notify_channel => '$long'))});
@got = notifications("LISTEN $long; CALL ext.run_job($job);");
is(scalar(@got) . " $got[0][0]", "1 $long", 'a channel of 63 bytes');
is($got[0][1]{labels}{host}, qq{"x" \\ \n\t\x{e9}}, 'labels survive');
is($got[0][1]{name}, qq{odd "name" \\ \x{e9}}, 'so does the name');
@got = notifications(qq{LISTEN $long; SELECT tsext.drop_alert(name) FROM tsext.alerts;});
is("$got[0][1]{state}", 'resolved', 'dropped while it fires: resolved');
# Long labels are cut, control characters take six bytes each.
$job = $node->safe_psql('postgres', q{SELECT paused(tsext.create_alert('long',
	$$SELECT 1 AS value, 'x' AS host, repeat('é', 3980) AS a, CASE n WHEN 1 THEN '' ELSE repeat(E'\x01', 100) END AS b, n FROM generate_series(1, 2) n$$, 'true'))});
@got = notifications("CALL ext.run_job($job);");
is(scalar(@got), 2, 'two long payloads');
foreach my $message (map { $_->[1] } @got)
{
	ok($message->{cut}, 'cut');
	like($message->{labels}{a}, qr/^\x{e9}{30,300}\.\.\.$/, 'at a character');
	is($message->{labels}{host}, 'x', 'short labels stay');
}
$node->safe_psql('postgres', q{SELECT tsext.drop_alert('long')});
# A thousand instances that all change.
$job = $node->safe_psql('postgres', q{SELECT paused(tsext.create_alert('many', 'SELECT g AS host, g AS value FROM generate_series(1, 1000) g', 'value > 0'))});
is(scalar(notifications("CALL ext.run_job($job);")), 1000, 'a thousand notifications of one evaluation');
is(scalar(notifications("SELECT tsext.drop_alert('many');")), 1000, 'and of their end');

# ---- time limits ----

$job = $node->safe_psql('postgres', q{SELECT paused(tsext.create_alert('endless', 'SELECT 1 AS value FROM (SELECT pg_sleep(600)) s', 'true'))});
my ($status, $output, $errors) = $node->psql('postgres', "SET statement_timeout = '3s';\nCALL ext.run_job($job);");
like($errors, qr/canceling statement due to statement timeout/, 'a query that takes too long is cancelled');
is($node->safe_psql('postgres', 'SELECT error_sqlstate FROM tsext.alerts'), '57014', 'which is noted as its error');
$node->safe_psql('postgres', q{SELECT tsext.drop_alert('endless')});

# ---- changes during an evaluation ----

# Evaluates in a session of its own, which waits at a stop point until $meanwhile is done.
sub evaluate_during
{
	my ($job, $stop_point, $meanwhile) = @_;
	my $holder = $node->background_psql('postgres', on_error_stop => 0);
	$holder->query_safe('SELECT pg_advisory_lock(42)');
	my $evaluator = $node->background_psql('postgres', on_error_stop => 0);
	$evaluator->query_safe("SET tsext.stop_point = '$stop_point:wait:42'");
	$evaluator->query_until(qr/started/, "\\echo started\nCALL ext.run_job($job);\n\\echo finished\n");
	$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted})
	  or die 'the stop point was not reached';
	$meanwhile->();
	$holder->query_safe('SELECT pg_advisory_unlock(42)');
	$evaluator->query_until(qr/finished/, '');
	$evaluator->quit;
	$holder->quit;
}

$node->safe_psql('postgres', q{UPDATE load SET usage = 99});
$job = $node->safe_psql('postgres', q{SELECT paused(tsext.create_alert('cpu', 'SELECT host, usage AS value FROM load', 'value > 90'))});
evaluate_during($job, 'alert_evaluated', sub { $node->safe_psql('postgres', q{SELECT tsext.alter_alert('cpu', condition => 'value > 100')}) });
is($node->safe_psql('postgres', 'SELECT state, labels IS NULL FROM tsext.alerts'), 'inactive|t',
	'a result of the condition of before changes nothing');
evaluate_during($job, 'alert_evaluated', sub { $node->safe_psql('postgres', q{SELECT tsext.drop_alert('cpu')}) });
is($node->safe_psql('postgres', 'SELECT count(*) FROM tsext.alert_instance'), '0', 'nor that of an alert that was dropped');
my $create = q{SELECT paused(tsext.create_alert('cpu', 'SELECT host, usage AS value FROM load', 'value > 90'))};
$job = $node->safe_psql('postgres', $create);
my $again;
evaluate_during($job, 'alert_evaluated', sub { $again = $node->safe_psql('postgres', "SELECT tsext.drop_alert('cpu');\n$create") =~ s/\s+//r });
is($node->safe_psql('postgres', 'SELECT count(*) FROM tsext.alert_instance'), '0', 'nor that of another of this name');
$job = $again;
# A second evaluation waits for the first and sees what has changed since.
my $second;
evaluate_during(
	$job,
	'alert_evaluated',
	sub {
		$node->safe_psql('postgres', 'UPDATE load SET usage = 1');
		$second = $node->background_psql('postgres', on_error_stop => 0);
		$second->query_until(qr/started/, qq{\\echo started\nCALL tsext.evaluate_alert(0, '{"alert": "cpu"}');\n\\echo finished\n});
		$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'object' AND NOT granted})
		  or die 'the second evaluation does not wait';
	});
$second->query_until(qr/finished/, '');
$second->quit;
is( $node->safe_psql('postgres', q{SELECT string_agg(previous || ' ' || state, ', ' ORDER BY at) FROM tsext.alert_history WHERE labels = '{"host": "a"}'}),
	'inactive firing, firing resolved',
	'evaluations of one alert come one after the other');

# ---- a crash ----

$node->safe_psql('postgres', q{UPDATE load SET usage = 99});
my $before = $node->safe_psql('postgres', 'SELECT labels, state, since FROM tsext.alerts ORDER BY labels');
foreach my $stop_point (qw(alert_evaluated alert_applied))
{
	ok(killed_by($node, "SET tsext.stop_point = '$stop_point:crash';\nCALL ext.run_job($job);"), "killed at $stop_point");
	is($node->safe_psql('postgres', 'SELECT labels, state, since FROM tsext.alerts ORDER BY labels'),
		$before, "a crash at $stop_point leaves no change");
}
is(summary(notifications("CALL ext.run_job($job);")), 'tsext_alert:a=firing tsext_alert:b=firing', 'the next evaluation makes it');
$node->stop('immediate');
$node->start;
is($node->safe_psql('postgres', q{SELECT string_agg(state, ' ') FROM tsext.alerts}), 'firing firing', 'states survive a restart');

# ---- dump and restore ----

$node->safe_psql(
	'postgres', q{
	SET ROLE watcher;
	SELECT public.paused(tsext.create_alert('theirs', 'SELECT host, usage AS value FROM public.load', 'value > 90', '5 min', '2 min', 'ops', 'resolve'));
});
my $definitions = q{SELECT DISTINCT name, owner, query, condition, for_duration, every, notify_channel, no_data, enabled, job_id FROM tsext.alerts ORDER BY name};
my $expected = $node->safe_psql('postgres', $definitions);
my $dump = $node->basedir . '/alerts.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, 'postgres' ], 'pg_dump');
unlike(slurp_file($dump), qr/COPY tsext\.alert_/, 'states and history are not dumped');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, 'restored' ], 'psql restores');
is($node->safe_psql('restored', $definitions), $expected, 'alerts are back with their jobs');
my ($cpu, $theirs) = split(/\n/, $node->safe_psql('restored', 'SELECT job_id FROM tsext.alerts ORDER BY name'));
is(summary(notifications("CALL ext.run_job($cpu);", 'restored')), 'tsext_alert:a=firing tsext_alert:b=firing', 'what fires is told anew');
is( $node->safe_psql('restored', qq{SET SESSION AUTHORIZATION watcher;\nCALL ext.run_job($theirs);\nSELECT string_agg(state, ' ') FROM tsext.alerts;}),
	'pending pending', 'an owner goes on');
$node->safe_psql('restored', q{SELECT tsext.alter_alert('cpu', every => '3 min'); SELECT tsext.drop_alert('theirs');});
is($node->safe_psql('restored', q{SELECT count(*), min(schedule_interval) FROM tsext.jobs WHERE proc_name = 'evaluate_alert'}),
	'1|00:03:00', 'jobs are the alerts\' own');
ok($node->safe_psql('restored', q{SELECT tsext.create_alert('fresh', 'SELECT 1 AS value', 'true')}) > $theirs, 'ids go on');
$node->safe_psql('postgres', 'DROP DATABASE restored');

# ---- the scheduler ----

# Each alert is evaluated every second by a worker of its owner.
$node->safe_psql('postgres', q{SELECT tsext.drop_alert(name) FROM (SELECT DISTINCT name FROM tsext.alerts) a; TRUNCATE load;});
my $listener = $node->background_psql('postgres', on_error_stop => 0);
$listener->query_safe('LISTEN tsext_alert');
sub wait_for
{
	my ($condition, $what) = @_;
	ok($node->poll_query_until('postgres', "SELECT count(*) > 0 FROM tsext.alerts WHERE $condition"), $what);
}
my $live = $node->safe_psql('postgres', q{SET ROLE watcher; SELECT tsext.create_alert('live', 'SELECT host, usage AS value FROM public.load', 'value > 90', every => '1 s')});
wait_for('evaluated_at IS NOT NULL', 'the scheduler evaluates a new alert');
$node->safe_psql('postgres', q{INSERT INTO load VALUES ('a', 99)});
wait_for(q{state = 'firing'}, 'and fires');
# Listeners are told just after the commit.
ok(wait_until(sub { $listener->query('SELECT 1') =~ /"tsext_alert" with payload "\{"name": "live", "labels": \{"host": "a"\}, "state": "firing", "value": 99, / }),
	'a worker\'s notification arrives');
is($node->safe_psql('postgres', "SELECT DISTINCT owner, outcome FROM tsext.job_runs WHERE job_id = $live AND finished IS NOT NULL"),
	'watcher|succeeded', 'runs are the owner\'s');
$node->restart;
$node->safe_psql('postgres', 'UPDATE load SET usage = 1');
wait_for(q{state = 'resolved'}, 'it goes on after a restart');
$node->safe_psql('postgres', 'REVOKE SELECT ON load FROM watcher');
wait_for(q{error_sqlstate = '42501'}, 'a right that was taken away is an error');
ok( $node->poll_query_until('postgres', "SELECT count(*) > 0 FROM tsext.job_runs WHERE job_id = $live AND outcome = 'failed' AND sqlstate = '42501'"),
	'of which the run failed');
$node->safe_psql('postgres', q{GRANT SELECT ON load TO watcher; SELECT tsext.alter_alert('live', every => '1 s');});
wait_for(q{last_error IS NULL AND state = 'resolved'}, 'and back');
$node->safe_psql('postgres', qq{SELECT ext.alter_job($live, max_runtime => '1 s');
	SELECT tsext.alter_alert('live', query => 'SELECT 1 AS value FROM (SELECT pg_sleep(600)) s');});
wait_for(q{error_sqlstate = '57014'}, 'a run that takes too long is cancelled, which is an error of the alert');
ok($node->poll_query_until('postgres', "SELECT count(*) > 0 FROM tsext.job_runs WHERE job_id = $live AND outcome = 'timed out' AND finished - started < interval '60 s'"), 'and of the run');
# Dropped while it runs: the worker ends at its limit, and nothing comes back.
$node->safe_psql('postgres', q{SELECT tsext.drop_alert('live')});
$node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM tsext.job_runs WHERE finished IS NULL}) or die 'a run does not end';
is($node->safe_psql('postgres', 'SELECT (SELECT count(*) FROM tsext.alert_instance) + (SELECT count(*) FROM tsext.alert_status)'),
	'0', 'an alert that is dropped while it runs leaves nothing');

$node->stop;
done_testing();
