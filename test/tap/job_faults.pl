# Faults of single runs: outcomes that cannot be recorded, sessions left in disorder, memory, long messages, processes killed one by one.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Waiting;

my $node = PostgreSQL::Test::Cluster->new('job_faults');
$node->init;
$node->append_conf('postgresql.conf', "max_worker_processes = 16\ntsext.compact_background = off\nrestart_after_crash = on\nlog_statement = none\nlog_min_messages = warning");
$node->start;
sub sql { my ($sql) = @_; return $node->safe_psql('postgres', $sql); }
sub wait_for { my ($sql, $what) = @_; ok($node->poll_query_until('postgres', $sql), $what); }
sub set_conf { my ($setting) = @_; sql("ALTER SYSTEM $setting"); reload_settings($node); }
sub ended { my ($job, $times) = @_; return "SELECT count(*) = $times FROM tsext.job_runs WHERE job_id = $job AND outcome <> 'running'"; }
sub runs { my ($job) = @_; return sql("SELECT string_agg(concat_ws('|', outcome, sqlstate), ',' ORDER BY run_id) FROM tsext.job_runs WHERE job_id = $job"); }

sql(q{
CREATE EXTENSION tsext;
CREATE ROLE other;
CREATE TABLE note (n bigserial, job int, pid int DEFAULT pg_backend_pid(), what text);
CREATE PROCEDURE take_note(job_id int, config jsonb) LANGUAGE sql AS 'INSERT INTO note (job) VALUES (job_id)';
CREATE PROCEDURE waits(job_id int, config jsonb) LANGUAGE plpgsql AS $$ BEGIN INSERT INTO note (job) VALUES (job_id); COMMIT; PERFORM pg_sleep(1000); END $$;
CREATE FUNCTION session() RETURNS text LANGUAGE sql AS $$
  SELECT concat_ws(' ', current_user, session_user, current_setting('role'), current_setting('search_path'), current_setting('session_replication_role'), current_setting('statement_timeout'),
    current_setting('lock_timeout'), current_setting('default_transaction_read_only'), current_setting('default_transaction_isolation'), coalesce(current_setting('my.own', true), ''),
    (SELECT count(*) FROM pg_prepared_statements), (SELECT count(*) FROM pg_cursors WHERE is_holdable), to_regclass('pg_temp.trace'),
    (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND objid = 99)) $$;
CREATE PROCEDURE disorders(job_id int, config jsonb) LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO public.note (job, what) VALUES (job_id, public.session());
  CREATE TEMP TABLE trace (v int);
  EXECUTE 'PREPARE kept AS SELECT 1'; EXECUTE 'DECLARE held CURSOR WITH HOLD FOR SELECT 1';
  PERFORM pg_advisory_lock(99);
  PERFORM set_config('search_path', 'pg_temp', false), set_config('session_replication_role', 'replica', false), set_config('statement_timeout', '1', false),
    set_config('default_transaction_read_only', 'on', false), set_config('default_transaction_isolation', 'serializable', false), set_config('my.own', 'mine', false),
    set_config('lock_timeout', '1', false), set_config('role', 'other', false);
END $$;
CREATE PROCEDURE shouts(job_id int, config jsonb) LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION '%', repeat('ß€', 2000000) USING DETAIL = repeat('d', 5000000); END $$;
CREATE PROCEDURE swells(job_id int, config jsonb) LANGUAGE plpgsql AS $$
DECLARE a text[] := '{}';
BEGIN
  INSERT INTO public.note (job) VALUES (job_id); COMMIT;
  WHILE NOT EXISTS (SELECT FROM public.note WHERE what = 'go') LOOP PERFORM pg_sleep(0.05); COMMIT; END LOOP;
  FOR i IN 1 .. 100 LOOP a[i] := repeat(i::text, 50000000); END LOOP;
END $$;});
my $steady = sql(q{SELECT add_job('take_note', '1 s')});
sub goes_on
{
	my ($when) = @_;
	my $before = sql("SELECT count(*) FROM note WHERE job = $steady");
	wait_for("SELECT count(*) > $before FROM note WHERE job = $steady", "$when: the other job goes on");
}

# The outcome cannot be written down: the run waits for that, and neither its limit nor the next start come in between.
set_conf(q{SET tsext.stop_point = 'job_recording:full'});
my $unrecorded = sql(q{SELECT add_job('take_note', '1 s', scheduled => false)});
sql("SELECT alter_job($unrecorded, max_runtime => '1 s', scheduled => true)");
my $log = -s $node->logfile;
ok($node->wait_for_log(qr/could not record the outcome of job $unrecorded .*no space left on device/, $log), 'an outcome cannot be recorded');
# The third pause is over a second after the first; the fifth after three.
ok(wait_until(sub { 5 <= (() = slurp_file($node->logfile, $log) =~ /could not record the outcome of job $unrecorded /g) }), 'it is tried again and again');
is(sql("SELECT count(*) FROM note WHERE job = $unrecorded"), 1, 'meanwhile the job does not run again');
is(runs($unrecorded), 'running', 'nor is its run taken for something else');
set_conf('RESET tsext.stop_point');
wait_for("SELECT outcome = 'succeeded' FROM tsext.job_runs WHERE job_id = $unrecorded ORDER BY run_id LIMIT 1", 'then it is recorded as what it was');
is(sql("SELECT count(*) FROM tsext.job_runs WHERE outcome NOT IN ('running', 'succeeded')"), 0, 'and no run failed for that');
sql("SELECT delete_job($unrecorded)");
goes_on('recording');

# Settings that a procedure leaves meet neither the record of its run nor the next run.
my $disorders = sql(q{CREATE ROLE boss LOGIN SUPERUSER; SET ROLE boss; SELECT add_job('disorders', '1 s', scheduled => false)});
set_conf(q{SET tsext.stop_point = 'job_recording:wait:78'});
my $keeper = $node->background_psql('postgres', timeout => 600);
$keeper->query_safe('SELECT pg_advisory_lock(78)');
sql("SELECT alter_job($disorders, scheduled => true)");
wait_for("SELECT count(*) = 1 FROM pg_stat_activity a JOIN pg_locks l USING (pid) WHERE a.backend_type = 'tsext job worker' AND l.locktype = 'advisory' AND NOT l.granted AND a.pid IN (SELECT pid FROM note WHERE job = $disorders)",
	'a run waits for the lock before its record');
$keeper->query_safe('SELECT pg_advisory_unlock(78)');
$keeper->quit;
set_conf('RESET tsext.stop_point');
wait_for("SELECT true FROM note WHERE job = $disorders GROUP BY pid HAVING count(*) >= 2 LIMIT 1", 'a job that leaves disorder runs again in the same process');
wait_for("SELECT count(*) >= 2 FROM tsext.job_runs WHERE job_id = $disorders AND outcome = 'succeeded'", 'to its end');
unlike(runs($disorders), qr/failed|crashed|timed/, 'its settings fail no record (lock_timeout)');
is(sql("SELECT count(DISTINCT what) FROM note WHERE job = $disorders"), '1', 'and finds nothing of the run before');
is(sql("SELECT DISTINCT what FROM note WHERE job = $disorders") =~ /^\S+ \S+ none "\$user", public origin 0 0 off read committed\s+0 0\s+0$/, 1, 'and a session as new')
  or diag(sql("SELECT DISTINCT what FROM note WHERE job = $disorders"));
# A session that cannot be cleaned is given up.
set_conf(q{SET tsext.stop_point = 'job_discard:error'});
my $pids = sql("SELECT count(DISTINCT pid) FROM note WHERE job = $disorders");
wait_for("SELECT count(DISTINCT pid) > $pids + 1 FROM note WHERE job = $disorders", 'a session that cannot be cleaned takes no further job');
set_conf('RESET tsext.stop_point');
sql("SELECT delete_job($disorders)");
goes_on('disorder');

# Messages without end, memory without end.
my $shouts = sql(q{SELECT add_job('shouts', '1 hour')});
wait_for(ended($shouts, 1), 'an error with a message of ten megabytes ends the run');
is(sql("SELECT outcome, sqlstate, octet_length(message) BETWEEN 1900 AND 2000, message = left(repeat('ß€', 2000), length(message)) FROM tsext.job_runs WHERE job_id = $shouts"), 'failed|P0001|t|t', 'and is kept in short');
cmp_ok(-s $node->logfile, '<', 2_000_000, 'in the log too');
my $swells = sql(q{SELECT add_job('swells', '1 hour')});
wait_for("SELECT count(*) = 1 FROM note WHERE job = $swells", 'a run has a process');
my $pid = sql("SELECT pid FROM note WHERE job = $swells");
my ($size) = slurp_file("/proc/$pid/statm") =~ /^(\d+)/;
system_or_bail('prlimit', "--pid=$pid", '--as=' . ($size * 4096 + 300_000_000));
sql(q{INSERT INTO note (what) VALUES ('go')});
wait_for(ended($swells, 1), 'a run that wants too much memory ends');
is(runs($swells), 'failed|53200', 'and fails for that');
is(sql("SELECT count(*) FROM pg_stat_activity WHERE pid = $pid"), 1, 'its process lives');
goes_on('memory');

# A job that takes the server down as soon as it begins is known to have done so each time, and has to wait after the second.
my $end = -s $node->logfile;
my $fragile = sql(q{CREATE ROLE fragile LOGIN; GRANT ALL ON note TO fragile; ALTER ROLE fragile SET tsext.stop_point = 'job_before_run:crash'; SET ROLE fragile; SELECT add_job('take_note', '1 day')});
$node->wait_for_log(qr/(?s:was terminated by signal 9.*){2}database system is ready to accept connections/, $end);
wait_for("SELECT count(*) = 2 FROM tsext.job_runs WHERE job_id = $fragile AND outcome = 'crashed'", 'each crash of the server is recorded');
is(sql("SELECT crashes, consecutive_failures, next_start > last_finish + interval '1 min' FROM tsext.jobs WHERE job_id = $fragile"), '2|2|t', 'and counts');
goes_on('crashes');
sql("SELECT delete_job($fragile)");

# Processes die one by one. The server restarts; what ran is recorded as crashed, once.
my $waits = sql(q{SELECT add_job('waits', '1 hour')});
my $crashes = 0;
for my $victim ([ SEGV => 'tsext job worker' ], [ KILL => 'tsext scheduler' ], [ KILL => 'tsext launcher' ])
{
	my ($signal, $type) = @$victim;
	wait_for("SELECT count(*) = $crashes + 1 FROM note WHERE job = $waits", "a run is under way");
	my $process = sql($type eq 'tsext job worker' ? "SELECT max(pid) FROM tsext.job_runs WHERE job_id = $waits AND outcome = 'running'" : "SELECT pid FROM pg_stat_activity WHERE backend_type = '$type'");
	my $end = -s $node->logfile;
	# Never an empty string: that is the group of the test's own processes.
	die "there is no $type" unless $process =~ /^\d+$/;
	kill $signal, $process or die "could not kill $process: $!";
	$node->wait_for_log(qr/database system is ready to accept connections/, $end);
	$crashes++;
	wait_for("SELECT count(*) = $crashes FROM tsext.job_runs WHERE job_id = $waits AND outcome = 'crashed'", "SIG$signal of a $type: the run is recorded as crashed");
	is(sql("SELECT crashes, consecutive_failures FROM tsext.jobs WHERE job_id = $waits"), "$crashes|$crashes", "SIG$signal of a $type: once");
	# The first time it is due at once, then it is backed off.
	is(sql("SELECT next_start > last_finish + interval '1 min' FROM tsext.jobs WHERE job_id = $waits"), $crashes == 1 ? 'f' : 't', "SIG$signal of a $type: a job that crashes again has to wait");
	goes_on("SIG$signal of a $type");
	sql("SELECT alter_job($waits, next_start => now())");
}
wait_for("SELECT count(*) = 4 FROM note WHERE job = $waits", 'after all of them it runs');
is(sql("SELECT count(*) FROM tsext.job_runs WHERE job_id = $waits"), 4, 'one run at a time');
$node->stop;
done_testing();
