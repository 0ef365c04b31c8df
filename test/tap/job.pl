# The scheduler: jobs run as their owners, on time, one run at a time; every way a run can end is recorded and stops nobody else;
# restart, crash, promotion, DROP DATABASE and DROP EXTENSION.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep time);
use Waiting;

my $node = PostgreSQL::Test::Cluster->new('job');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', q{
max_worker_processes = 16
tsext.compact_background = off
log_min_messages = log
});
$node->start;
$node->safe_psql('postgres', q{
CREATE EXTENSION tsext;
CREATE ROLE alice LOGIN;
CREATE ROLE silent NOLOGIN;
CREATE TABLE note (n bigserial, job int, at timestamptz DEFAULT clock_timestamp(), who text DEFAULT current_user, pid int DEFAULT pg_backend_pid(), config jsonb);
GRANT ALL ON note TO PUBLIC; GRANT ALL ON SEQUENCE note_n_seq TO PUBLIC;
CREATE PROCEDURE take_note(job_id int, config jsonb) LANGUAGE sql AS $$ INSERT INTO note (job, config) VALUES (job_id, config) $$;
CREATE FUNCTION note_function(job_id int, config jsonb) RETURNS int LANGUAGE sql AS $$ INSERT INTO note (job) VALUES (job_id) RETURNING 1 $$;
CREATE PROCEDURE commits(job_id int, config jsonb) LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO note (job, config) VALUES (job_id, '1'); COMMIT;
  INSERT INTO note (job, config) VALUES (job_id, '2'); ROLLBACK;
  INSERT INTO note (job, config) VALUES (job_id, '3'); COMMIT;
  RAISE EXCEPTION 'after the third' USING ERRCODE = 'TS001';
END $$;
CREATE PROCEDURE fails(job_id int, config jsonb) LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'it failed' USING ERRCODE = 'TS002'; END $$;
CREATE PROCEDURE sleeps(job_id int, config jsonb) LANGUAGE plpgsql AS $$ BEGIN INSERT INTO note (job) VALUES (job_id); COMMIT; PERFORM pg_sleep((config->>'s')::float8); END $$;
CREATE PROCEDURE stubborn(job_id int, config jsonb) LANGUAGE plpgsql AS $$
BEGIN LOOP BEGIN PERFORM pg_sleep(1000); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; END $$;
CREATE PROCEDURE dies(job_id int, config jsonb) LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(10); END $$;
CREATE PROCEDURE leaves_traces(job_id int, config jsonb) LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO note (job, config) VALUES (job_id, to_jsonb(current_setting('search_path') || coalesce(to_regclass('pg_temp.trace')::text, '')));
  SET search_path = pg_catalog, public; CREATE TEMP TABLE trace (v int);
END $$;
});

# Adds a job and returns its id.
sub add_job
{
	my ($procedure, $interval, $more, $role) = @_;
	$more = defined $more ? ", $more" : '';
	return $node->safe_psql('postgres', ($role ? "SET ROLE $role; " : '') . "SELECT add_job('$procedure', '$interval'$more)");
}
sub delete_job { $node->safe_psql('postgres', "SELECT delete_job($_)") for @_; }
sub wait_for
{
	my ($sql, $what) = @_;
	ok($node->poll_query_until('postgres', $sql), $what);
}
# Runs that follow each other closely are in the same process: a worker waits 5 s for more.
sub stays { my ($job) = @_; return "SELECT bool_and(pid = before OR at - before_at > interval '4 s') FROM (SELECT pid, at, lag(pid) OVER w AS before, lag(at) OVER w AS before_at FROM note WHERE job = $job WINDOW w AS (ORDER BY n)) s"; }
sub ended { my ($job) = @_; return "SELECT count(*) > 0 FROM tsext.job_runs WHERE job_id = $job AND outcome <> 'running'"; }

wait_for(q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'tsext scheduler'}, 'CREATE EXTENSION brings a scheduler');

# On time, again and again, as the owner, by one worker that stays.
my $alices = add_job('take_note', '1 s', q{config => '{"a": 1}'}, 'alice');
my $function = add_job('note_function', '1 s', 'fixed_schedule => false');
wait_for("SELECT count(*) >= 3 FROM note WHERE job = $alices", 'a job runs again and again');
is($node->safe_psql('postgres', "SELECT DISTINCT who, config FROM note WHERE job = $alices"), 'alice|{"a": 1}', 'as its owner, with its config');
is($node->safe_psql('postgres', stays($alices)), 't', 'by a worker that stays');
wait_for("SELECT string_agg(DISTINCT usename, ' ') = 'alice' FROM pg_stat_activity JOIN note USING (pid) WHERE job = $alices", 'which is connected as the owner');
is($node->safe_psql('postgres', "SELECT next_start - initial_start = date_trunc('second', next_start - initial_start) FROM tsext.jobs WHERE job_id = $alices"), 't', 'on its grid');
wait_for("SELECT count(*) >= 2 FROM note WHERE job = $function", 'a function is a job too');
is($node->safe_psql('postgres', "SELECT DISTINCT outcome FROM tsext.job_runs WHERE job_id = $alices AND outcome <> 'running'"), 'succeeded', 'runs are recorded');

# Pause, resume, other settings, without a restart.
$node->safe_psql('postgres', "SELECT alter_job($alices, scheduled => false); SELECT alter_job($function, scheduled => false)");
sleep 2;
wait_for(q{SELECT count(*) = 0 FROM tsext.job_runs WHERE outcome = 'running'}, 'paused jobs come to their end');
my $paused = $node->safe_psql('postgres', "SELECT count(*) FROM note WHERE job IN ($alices, $function)");
is($node->safe_psql('postgres', "SELECT DISTINCT status FROM tsext.jobs WHERE job_id IN ($alices, $function)"), 'paused', 'a paused job says so');
sleep 2;
is($node->safe_psql('postgres', "SELECT count(*) FROM note WHERE job IN ($alices, $function)"), $paused, 'and does not run');
$node->safe_psql('postgres', "SELECT alter_job($alices, scheduled => true, config => '{\"a\": 2}')");
wait_for("SELECT count(*) > 0 FROM note WHERE job = $alices AND config = '{\"a\": 2}'", 'a resumed job runs with its new config');
delete_job($alices, $function);

# Procedures that commit; what they committed stays when they fail later.
my $commits = add_job('commits', '1 hour');
wait_for(ended($commits), 'a procedure that commits comes to its end');
is($node->safe_psql('postgres', "SELECT string_agg(config::text, ',' ORDER BY n) FROM note WHERE job = $commits"), '1,3', 'commits and rollbacks count');
is($node->safe_psql('postgres', "SELECT outcome, sqlstate, message FROM tsext.job_runs WHERE job_id = $commits"), 'failed|TS001|after the third', 'its failure has SQLSTATE and message');

# Failures: back-off, then pause.
my $fails = add_job('fails', '1 hour', 'scheduled => false');
$node->safe_psql('postgres', "SELECT alter_job($fails, scheduled => true, max_retries => 2, retry_period => '1 s')");
wait_for("SELECT NOT scheduled FROM tsext.jobs WHERE job_id = $fails", 'a job that fails too often is paused');
is($node->safe_psql('postgres', "SELECT runs, failures, consecutive_failures FROM tsext.jobs WHERE job_id = $fails"), '3|3|3', 'after its retries');
is($node->safe_psql('postgres', "SELECT count(gap), bool_and(gap >= (n - 1) * interval '1 s') FROM (SELECT started - lag(finished) OVER w AS gap, row_number() OVER w AS n FROM tsext.job_runs WHERE job_id = $fails WINDOW w AS (ORDER BY run_id)) g"), '2|t', 'with growing pauses');
is($node->safe_psql('postgres', "SELECT DISTINCT outcome, sqlstate, message FROM tsext.job_runs WHERE job_id = $fails"), 'failed|TS002|it failed', 'each is recorded');

# A next start that is set just after a run, before the scheduler has heard of its end, counts.
my $keeper = $node->background_psql('postgres');
$keeper->query_safe('SELECT pg_advisory_lock(77)');
$node->safe_psql('postgres', q{ALTER SYSTEM SET tsext.stop_point = 'job_after_record:wait:77'});
reload_settings($node);
my $moved = add_job('take_note', '1 hour');
wait_for(ended($moved), 'a run is recorded');
wait_for(q{SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = 77 AND NOT granted}, 'and its worker waits');
$node->safe_psql('postgres', "SELECT alter_job($moved, next_start => now())");
sleep 2;    # the scheduler has read it
$node->safe_psql('postgres', 'ALTER SYSTEM RESET tsext.stop_point');
reload_settings($node);
my $released = time;
$keeper->query_safe('SELECT pg_advisory_unlock(77)');
$keeper->quit;
wait_for("SELECT count(*) = 2 FROM note WHERE job = $moved", 'it runs again');
cmp_ok(time - $released, '<', 40, 'at once');
delete_job($moved);

# A procedure that goes, an owner who may not log in.
$node->safe_psql('postgres', 'CREATE PROCEDURE goes(job_id int, config jsonb) LANGUAGE sql AS $$ SELECT $$');
my $gone = $node->safe_psql('postgres', q{BEGIN; SELECT add_job('goes', '1 hour'); DROP PROCEDURE goes; COMMIT});
wait_for(ended($gone), 'a procedure that is gone is noticed');
is($node->safe_psql('postgres', "SELECT outcome, sqlstate, message FROM tsext.job_runs WHERE job_id = $gone"), "failed|42883|procedure public.goes(job_id integer, config jsonb) of job $gone does not exist", 'and named');
my $silent = add_job('take_note', '1 hour', undef, 'silent');
wait_for(ended($silent), 'an owner who may not log in is noticed');
is($node->safe_psql('postgres', "SELECT outcome, sqlstate, message FROM tsext.job_runs WHERE job_id = $silent"), 'failed|28000|role "silent" is not permitted to log in', 'and named');

# Time limits.
my $long = add_job('sleeps', '1 hour', q{config => '{"s": 1000}', scheduled => false});
my $stubborn = add_job('stubborn', '1 hour', 'scheduled => false');
$node->safe_psql('postgres', "SELECT alter_job($_, scheduled => true, max_runtime => '1 s')") for ($long, $stubborn);
wait_for(ended($long), 'a run that takes too long is cancelled');
is($node->safe_psql('postgres', "SELECT outcome, sqlstate FROM tsext.job_runs WHERE job_id = $long"), 'timed out|57014', 'and recorded so');
is($node->safe_psql('postgres', "SELECT finished - started < interval '40 s' FROM tsext.job_runs WHERE job_id = $long"), 't', 'in time, although nothing else wakes the scheduler');
my $deleted = add_job('sleeps', '1 hour', q{config => '{"s": 1000}', scheduled => false});
$node->safe_psql('postgres', "SELECT alter_job($deleted, scheduled => true, max_runtime => '3 s')");
wait_for("SELECT count(*) = 1 FROM note WHERE job = $deleted", 'a run of a job that is deleted meanwhile');
delete_job($deleted);
wait_for("SELECT outcome = 'timed out' FROM tsext.job_runs WHERE job_id = $deleted", 'has its limit still');
wait_for(ended($stubborn), 'one that ignores it is terminated');
is($node->safe_psql('postgres', "SELECT outcome, sqlstate FROM tsext.job_runs WHERE job_id = $stubborn"), 'timed out|57P01', 'and recorded so');
my $cancelled = add_job('sleeps', '1 hour', q{config => '{"s": 1000}'});
wait_for("SELECT count(*) = 1 FROM note WHERE job = $cancelled", 'a long run is there');
is($node->safe_psql('postgres', "SELECT status FROM tsext.jobs WHERE job_id = $cancelled"), 'running', 'and shown');
my ($status, $out, $err) = $node->psql('postgres', "CALL run_job($cancelled)");
like($err, qr/job $cancelled is running/, 'no second run by hand');
$node->safe_psql('postgres', "SELECT pg_cancel_backend(pid) FROM note WHERE job = $cancelled");
wait_for("SELECT outcome = 'cancelled' FROM tsext.job_runs WHERE job_id = $cancelled ORDER BY run_id LIMIT 1", 'a run can be cancelled by hand');

# A worker that dies; the next job of its owner is run by another.
my $dies = add_job('dies', '1 hour');
wait_for(ended($dies), 'the death of a worker is noticed');
is($node->safe_psql('postgres', "SELECT outcome, sqlstate FROM tsext.job_runs WHERE job_id = $dies ORDER BY run_id LIMIT 1"), 'crashed|57P01', 'and recorded');
delete_job($dies, $cancelled, $long, $stubborn, $silent, $gone, $fails, $commits);

# Sessions are clean: nothing of a run is seen by the next.
my $traces = add_job('leaves_traces', '1 s');
wait_for("SELECT count(*) >= 2 FROM note WHERE job = $traces", 'a job that leaves traces runs again');
is($node->safe_psql('postgres', "SELECT count(DISTINCT config) FROM note WHERE job = $traces"), '1', 'and finds none of them');
is($node->safe_psql('postgres', stays($traces)), 't', 'in the same process');
delete_job($traces);

# No more workers than allowed, and all jobs have their turn.
wait_for(q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'tsext job worker'}, 'workers without work leave');
$node->safe_psql('postgres', 'ALTER SYSTEM SET tsext.max_job_workers = 2; TRUNCATE note');
reload_settings($node);
my @many = map { add_job('sleeps', '1 hour', q{config => '{"s": 0.7}', initial_start => date_trunc('second', now()) + interval '3 s'}, $_ % 2 ? 'alice' : 'postgres') } (1 .. 6);
my $most = 0;
for (1 .. 1000)
{
	my ($workers, $done) = split /\|/, $node->safe_psql('postgres', q{SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'tsext job worker'), (SELECT count(*) FROM note)});
	$most = $workers if $workers > $most;
	last if $done == 6;
	usleep(100_000);
}
is($node->safe_psql('postgres', 'SELECT count(DISTINCT job) FROM note'), '6', 'all jobs of both owners had their turn');
cmp_ok($most, '<=', 2, 'with no more workers than allowed');
wait_for("SELECT count(*) = 0 FROM tsext.job_runs WHERE outcome = 'running'", 'all end');
delete_job(@many);
$node->safe_psql('postgres', 'ALTER SYSTEM RESET tsext.max_job_workers; SELECT pg_reload_conf()');

# By hand, a paused job too.
my $once = add_job('take_note', '1 s', 'scheduled => false');
$node->safe_psql('postgres', "CALL run_job($once)");
is($node->safe_psql('postgres', "SELECT count(*) FROM note WHERE job = $once"), '1', 'run_job() runs a paused job');
delete_job($once);

my $steadfast = add_job('take_note', '1 s');
# A scheduler that dies: its successor adopts the runs.
my $adopted = add_job('sleeps', '1 hour', q{config => '{"s": 9}'});
wait_for("SELECT status = 'running' FROM tsext.jobs WHERE job_id = $adopted", 'a run is under way');
$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE backend_type = 'tsext scheduler'});
like($node->safe_psql('postgres', "SELECT status FROM tsext.jobs WHERE job_id = $steadfast"), qr/^(waits: no scheduler is running|scheduled|starting|running)$/, 'without a scheduler jobs wait');
wait_for(q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'tsext scheduler'}, 'a scheduler that was terminated comes back');
wait_for("SELECT outcome = 'succeeded' FROM tsext.job_runs WHERE job_id = $adopted", 'the run goes on to its end');
is($node->safe_psql('postgres', "SELECT count(*) FROM tsext.job_runs WHERE job_id = $adopted"), '1', 'and is the only one');

# The clock was set back by three hours: nobody waits for them to pass again.
my $ahead = add_job('take_note', '1 s');
wait_for("SELECT count(*) > 0 FROM note WHERE job = $ahead", 'a job runs');
$node->safe_psql('postgres', "SELECT alter_job($ahead, scheduled => false)");
wait_for("SELECT count(*) = 0 FROM tsext.job_runs WHERE job_id = $ahead AND outcome = 'running'", 'and is paused');
$node->safe_psql('postgres', "TRUNCATE note; UPDATE tsext.job_state SET last_start = last_start + interval '3 h', last_finish = last_finish + interval '3 h', next_start = next_start + interval '3 h' WHERE job = $ahead; SELECT alter_job($ahead, scheduled => true)");
wait_for("SELECT count(*) > 0 FROM note WHERE job = $ahead", 'a job whose last run lies in the future runs by the clock as it is');

# One broken job does not stop the others; a read-only role's runs are recorded.
my $broken = $node->safe_psql('postgres', q{
BEGIN;
SELECT add_job('take_note', '1 hour', initial_start => now() + interval '2 s') AS id \gset
UPDATE tsext.job SET timezone = 'Lost/Zone', schedule_interval = '1 day' WHERE id = :id;
DELETE FROM tsext.job_state WHERE job = :id;
COMMIT;
SELECT :id});
wait_for("SELECT count(*) > 0 FROM tsext.job_runs WHERE job_id = $broken AND outcome = 'failed'", 'a time zone that is gone fails its job');
is($node->safe_psql('postgres', "SELECT DISTINCT sqlstate, message FROM tsext.job_runs WHERE job_id = $broken"), '22023|the job has no next start: time zone "Lost/Zone" not recognized', 'and is named');
$node->safe_psql('postgres', 'CREATE ROLE reader LOGIN; ALTER ROLE reader SET default_transaction_read_only = on');
my $readonly = add_job('take_note', '1 hour', undef, 'reader');
wait_for(ended($readonly), 'a job of a read-only role ends');
is($node->safe_psql('postgres', "SELECT outcome, sqlstate FROM tsext.job_runs WHERE job_id = $readonly"), 'failed|25006', 'as it must');
my $locked = add_job('take_note', '1 s');
wait_for("SELECT count(*) > 0 FROM note WHERE job = $locked", 'a job runs');
delete_job($ahead, $broken, $readonly, $locked, $adopted, $steadfast);

# A job goes with its relation.
$node->safe_psql('postgres', q{CREATE TABLE of_policy (v int); INSERT INTO tsext.job SELECT 900, 'of a table', owner, proc_schema, proc_name, 'of_policy', schedule_interval, max_runtime, max_retries, retry_period, false, fixed_schedule FROM tsext.job WHERE id = 1; DROP TABLE of_policy});
is($node->safe_psql('postgres', q{SELECT count(*) FROM tsext.jobs WHERE job_id = 900}), '0', 'a job goes with its relation');

# What is asked for while a job runs is not forgotten at its end.
my $wished = add_job('sleeps', '1 hour', q{config => '{"s": 1.5}'});
wait_for("SELECT count(*) = 1 FROM note WHERE job = $wished", 'a job runs');
$node->safe_psql('postgres', "SELECT alter_job($wished, next_start => now() + interval '1 s')");
wait_for("SELECT count(*) = 2 FROM note WHERE job = $wished", 'and runs again when it was told to');
wait_for("SELECT next_start > now() + interval '30 min' FROM tsext.jobs WHERE job_id = $wished AND runs = 2", 'then by its schedule');
delete_job($wished);

# Restart, immediate stop: what ran is recorded as crashed and is due again; the others go on.
$node->safe_psql('postgres', 'TRUNCATE note');
my $steady = add_job('take_note', '1 s');
my $interrupted = add_job('sleeps', '1 hour', q{config => '{"s": 1000}'});
wait_for("SELECT count(*) = 1 FROM note WHERE job = $interrupted", 'a run is under way');
$node->stop('immediate');
$node->start;
wait_for("SELECT count(*) = 2 FROM note WHERE job = $interrupted", 'after a crash it runs again');
is($node->safe_psql('postgres', "SELECT outcome FROM tsext.job_runs WHERE job_id = $interrupted ORDER BY run_id LIMIT 1"), 'crashed', 'and the first run is recorded as crashed');
my $before = $node->safe_psql('postgres', "SELECT count(*) FROM note WHERE job = $steady");
wait_for("SELECT count(*) > $before FROM note WHERE job = $steady", 'the others go on');
$node->safe_psql('postgres', "UPDATE tsext.job_run SET started = started - interval '31 days', finished = finished - interval '31 days' WHERE id = (SELECT min(id) FROM tsext.job_run)");
$node->restart;
wait_for("SELECT count(*) = 0 FROM tsext.job_runs WHERE finished < now() - interval '30 days'", 'history is kept for 30 days');
wait_for("SELECT count(*) > $before + 1 FROM note WHERE job = $steady", 'after a restart too');
delete_job($interrupted);

# The death of a process by kill -9 at each stop point: the server restarts by itself and so do the jobs.
$node->safe_psql('postgres', 'ALTER SYSTEM SET restart_after_crash = on; SELECT pg_reload_conf()');
for my $point (qw(job_before_run job_after_run job_after_record))
{
	my $log_offset = -s $node->logfile;
	# By the file: a worker after the other may die before a statement could set anything.
	$node->append_conf('postgresql.conf', "tsext.stop_point = '$point:crash'");
	$node->reload;
	ok($node->wait_for_log(qr/"tsext job worker" \(PID \d+\) was terminated by signal 9/, $log_offset), "$point: the worker was killed");
	$node->adjust_conf('postgresql.conf', 'tsext.stop_point', undef);
	$log_offset = -s $node->logfile;
	$node->reload;
	$node->wait_for_log(qr/parameter "tsext.stop_point" removed from configuration file/, $log_offset);
	# One worker may have been at the stop point still: a run that began afterwards and ended well tells that none is.
	my $calm = $node->poll_query_until('postgres', 'SELECT now() IS NOT NULL') && time;
	wait_for("SELECT count(*) > 0 FROM tsext.job_runs WHERE job_id = $steady AND outcome = 'succeeded' AND started > to_timestamp($calm)", "$point: the job runs again");
	wait_for("SELECT count(*) = 0 FROM tsext.job_runs WHERE outcome = 'running' AND started < now() - interval '5 s'", "$point: no run is left as running");
}

# Among many databases those with the extension have a scheduler, also the last one, with 16 workers in all to look for it.
$node->safe_psql('postgres', join('', map { "CREATE DATABASE crowd_$_ STRATEGY file_copy;\n" } (1 .. 66)) . 'CREATE DATABASE late');
$node->safe_psql('late', 'CREATE EXTENSION tsext');
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'tsext scheduler' AND datname = 'late'}), 'the last of many databases has a scheduler');
# Each is kept free of workers for a while; what remains of that is seen below.
$node->safe_psql('postgres', join('', map { "DROP DATABASE crowd_$_;\n" } (1 .. 66)) . 'DROP DATABASE late');
my $passed = time;

# DROP, RENAME and copies of a database with jobs at work.
$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('other', q{CREATE EXTENSION tsext; CREATE PROCEDURE sleeps(job_id int, config jsonb) LANGUAGE sql AS $$ SELECT pg_sleep(1000) $$; SELECT add_job('sleeps', '1 s')});
ok($node->poll_query_until('other', q{SELECT count(*) = 1 FROM tsext.job_runs WHERE outcome = 'running'}), 'a job runs in another database');
my $schedulers = q{SELECT string_agg(pid::text, ' ' ORDER BY pid) FROM pg_stat_activity WHERE backend_type = 'tsext scheduler'};
my $pids = $node->safe_psql('postgres', $schedulers);
my (undef, undef, $refusals) = $node->psql('postgres', "SET ROLE alice;\nALTER DATABASE other RENAME TO hers;\nDROP DATABASE other;\nCREATE DATABASE hers TEMPLATE other;", on_error_stop => 0);
is(scalar(() = $refusals =~ /ERROR/g), 3, 'commands that a role may not give are refused');
is($node->safe_psql('postgres', $schedulers), $pids, 'and stop no worker');
$node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE other');
pass('CREATE DATABASE … TEMPLATE is not in its way');
$node->safe_psql('postgres', 'ALTER DATABASE other RENAME TO renamed');
pass('nor is a rename');
$node->safe_psql('postgres', 'DROP DATABASE renamed');
pass('nor is DROP DATABASE');
ok($node->poll_query_until('copy', q{SELECT count(*) >= 1 FROM tsext.job_runs WHERE outcome = 'crashed'}), 'the copy has a scheduler, which finds the run that its origin had');
$node->safe_psql('postgres', 'DROP DATABASE copy');
is($node->safe_psql('postgres', "SELECT status FROM tsext.jobs WHERE job_id = $steady") =~ /^(scheduled|running|starting)$/, 1, 'the jobs of this one go on');

# A dump has the jobs; what is restored goes on.
my $dump = $node->basedir . '/jobs.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, 'postgres' ], 'pg_dump');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, 'restored' ], 'psql restores');
$before = $node->safe_psql('restored', "SELECT count(*) FROM note WHERE job = $steady");
ok($node->poll_query_until('restored', "SELECT count(*) > $before FROM note WHERE job = $steady"), 'a restored job runs');
cmp_ok($node->safe_psql('restored', "SELECT add_job('take_note', '1 hour')"), '>', $steady, 'new jobs get new ids');
$node->safe_psql('postgres', 'DROP DATABASE restored');

# A dropped database leaves nothing behind: the next one has a scheduler after as many as there are places for.
usleep(100_000) while time < $passed + 16;
$node->safe_psql('postgres', 'CREATE DATABASE later');
$node->safe_psql('later', 'CREATE EXTENSION tsext');
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'tsext scheduler' AND datname = 'later'}), 'a database has a scheduler after many others were dropped');
$node->safe_psql('postgres', 'DROP DATABASE later');

# DROP EXTENSION while a job runs, and again.
add_job('sleeps', '1 hour', q{config => '{"s": 1000}'});
wait_for("SELECT count(*) > 0 FROM tsext.jobs WHERE status = 'running' AND proc_name = 'sleeps'", 'a job runs');
$node->safe_psql('postgres', 'DROP EXTENSION tsext CASCADE');
wait_for(q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type LIKE 'tsext%' AND datname = 'postgres'}, 'DROP EXTENSION ends scheduler and workers');
$node->safe_psql('postgres', q{TRUNCATE note; CREATE EXTENSION tsext});
my $again = add_job('take_note', '1 s');
wait_for("SELECT count(*) > 0 FROM note WHERE job = $again", 'with CREATE EXTENSION jobs run again');

# In one transaction: new jobs have the ids of old ones, but what ran before is not theirs.
my $former = add_job('sleeps', '1 hour', q{config => '{"s": 1000}'});
wait_for("SELECT count(*) = 1 FROM note WHERE job = $former", 'a job runs');
$again = $node->safe_psql('postgres', q{BEGIN; DROP EXTENSION tsext CASCADE; CREATE EXTENSION tsext; SELECT add_job('sleeps', '1 hour'); SELECT add_job('take_note', '1 s'); COMMIT});
$again =~ s/.*\n//s;
is($again, $former, 'another job has its id');
wait_for("SELECT count(*) > 1 FROM note WHERE job = $again", 'and runs');
wait_for(q{SELECT count(*) = 0 FROM pg_stat_activity WHERE query LIKE '%"s": 1000%' AND backend_type LIKE 'tsext%'}, 'the former one has ended');
is($node->safe_psql('postgres', "SELECT count(*) FROM tsext.job_runs WHERE job_id = $again AND outcome NOT IN ('succeeded', 'running')"), 0, 'and is no run of this one');

# A standby runs nothing, and everything when it is promoted.
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('job_standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby);
is($standby->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'tsext%'}), '0', 'no worker on a standby');
($status, $out, $err) = $standby->psql('postgres', "CALL run_job($again)");
like($err, qr/cannot execute run_job\(\) during recovery/, 'nor a run by hand');
$node->stop('immediate');
$standby->promote;
$before = $standby->safe_psql('postgres', "SELECT count(*) FROM note WHERE job = $again");
ok($standby->poll_query_until('postgres', "SELECT count(*) > $before FROM note WHERE job = $again"), 'a promoted standby runs the jobs');
$standby->stop;

# Too few background workers: jobs wait, say so, and run when there are some.
$node->append_conf('postgresql.conf', 'max_worker_processes = 3');
$node->start;
wait_for("SELECT status LIKE 'waits: no background worker%' FROM tsext.jobs WHERE job_id = $again", 'a job without a worker says why it waits');
ok($node->wait_for_log(qr/a due job of tsext must wait: no background worker slot is free/), 'as does the log');
$node->append_conf('postgresql.conf', 'max_worker_processes = 16');
$before = $node->safe_psql('postgres', "SELECT count(*) FROM note WHERE job = $again");
$node->restart;
wait_for("SELECT count(*) > $before FROM note WHERE job = $again", 'with more of them it runs');
$node->stop;
done_testing();
