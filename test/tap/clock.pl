# The system clock is set while jobs run: a day forward, a day back, an hour back during a run. No job is forgotten for the length of the jump,
# none runs in a storm, no time limit is reached by it, retention keeps what its rule keeps at that time. The monotonic clock goes on as it does.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# Processes of the server see the system clock moved by as many seconds as a file says. (libfaketime does not do: PostgreSQL 15 forks its
# workers in a signal handler amid select(), where that library has itself switched off, and they inherit it.)
my $folder = PostgreSQL::Test::Utils::tempdir;
my ($library, $clock) = ("$folder/clock.so", "$folder/clock");
PostgreSQL::Test::Utils::append_to_file("$folder/clock.c", <<'C');
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile long *seconds;

__attribute__((constructor)) static void map_offset(void) {
  int file = open(getenv("CLOCK_OFFSET"), O_RDONLY);
  void *page = mmap(NULL, sizeof *seconds, PROT_READ, MAP_SHARED, file, 0);
  if (page == MAP_FAILED) abort();
  seconds = page;
  close(file);
}
int clock_gettime(clockid_t clock, struct timespec *now) {
  long status = syscall(SYS_clock_gettime, clock, now);
  if (clock == CLOCK_REALTIME && seconds) now->tv_sec += *seconds;
  return status;
}
int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  struct timespec precise;
  clock_gettime(CLOCK_REALTIME, &precise);
  now->tv_sec = precise.tv_sec;
  now->tv_usec = precise.tv_nsec / 1000;
  return 0;
}
time_t time(time_t *result) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (result) *result = now.tv_sec;
  return now.tv_sec;
}
C
PostgreSQL::Test::Utils::system_or_bail('cc', '-shared', '-fPIC', '-o', $library, "$folder/clock.c");
sub set_clock
{
	my ($seconds) = @_;
	# In place: it is mapped.
	open my $file, (-s $clock ? '+<' : '>'), $clock or die "could not open $clock: $!";
	syswrite $file, pack('q', $seconds);
	close $file;
}

my $node = PostgreSQL::Test::Cluster->new('clock');
$node->init;
$node->append_conf('postgresql.conf', "max_worker_processes = 16\ntsext.max_job_workers = 8\ntsext.compact_naptime = 1\ntsext.compact_age = 2\nlog_min_messages = warning\nlog_statement = none");
set_clock(0);
{
	local %ENV = (%ENV, LD_PRELOAD => $library, CLOCK_OFFSET => $clock);
	$node->start;
}
sub sql { my ($sql) = @_; return $node->safe_psql('postgres', $sql); }
sub wait_for { my ($sql, $what) = @_; ok($node->poll_query_until('postgres', $sql), $what); }

sql(q{
CREATE EXTENSION tsext;
CREATE TABLE note (n bigserial, job int, at timestamptz DEFAULT clock_timestamp());
CREATE PROCEDURE take_note(job_id int, config jsonb) LANGUAGE sql AS 'INSERT INTO note (job) VALUES (job_id)';
CREATE PROCEDURE fails(job_id int, config jsonb) LANGUAGE plpgsql AS $$ BEGIN INSERT INTO note (job) VALUES (job_id); COMMIT; RAISE 'it failed'; END $$;
CREATE PROCEDURE waits(job_id int, config jsonb) LANGUAGE plpgsql AS $$
BEGIN INSERT INTO note (job) VALUES (job_id); COMMIT; PERFORM pg_advisory_lock(77); PERFORM pg_advisory_unlock(77); END $$;
CREATE TABLE kept (time timestamptz NOT NULL, v int) USING tsext WITH (tsext.chunk_interval = '1 hour');
CREATE TABLE twin AS SELECT now() - g * interval '1 hour' AS time, g AS v FROM generate_series(1, 71) g;
INSERT INTO kept TABLE twin;
CREATE TABLE hot (time timestamptz NOT NULL, v int) USING tsext;
CREATE TABLE load (at timestamptz, usage int);
INSERT INTO load VALUES (now(), 99);});
my %job;
$job{$_->[0]} = sql("SELECT add_job('$_->[1]', '$_->[2]', fixed_schedule => '$_->[3]')")
  for ([ tick => 'take_note', '1 s', 1 ], [ daily => 'take_note', '1 day', 1 ], [ drifting => 'take_note', '20 hours', 0 ],
	[ monthly => 'take_note', '1 month', 1 ], [ failing => 'fails', '1 day', 1 ]);
$job{failing} = sql("SELECT job_id FROM alter_job($job{failing}, retry_period => '30 min')");
my $keeper = $node->background_psql('postgres', timeout => 10 * $PostgreSQL::Test::Utils::timeout_default);
$keeper->query_safe('SELECT pg_advisory_lock(77)');
$job{waits} = sql(q{SELECT add_job('waits', '1 day', scheduled => false)});
sql("SELECT alter_job($job{waits}, max_runtime => '10 min', scheduled => true)");
$job{alert} = sql(q{SELECT tsext.create_alert('busy', 'SELECT usage AS value FROM load', 'value > 90', for_duration => '30 min', every => '1 s')});
$job{retention} = sql(q{SELECT add_retention_policy('kept', '3 days', initial_start => '2100-01-01')});

sub count { my ($job) = @_; return sql("SELECT count(*) FROM note WHERE job = $job{$job}"); }
# What runs often is at work since the last jump, and each of the jobs given has a run more.
my %before;
my $set_by = 0;
sub jump
{
	my ($offset, @due) = @_;
	my ($amount, $unit) = $offset =~ /^([+-]\d+)([dh])$/ or die;
	$set_by += $amount * ($unit eq 'd' ? 86400 : 3600);
	$before{$_} = count($_) for qw(tick daily drifting monthly failing waits);
	$before{log} = -s $node->logfile;
	set_clock($set_by);
	wait_for("SELECT count(*) > $before{tick} + 1 FROM note WHERE job = $job{tick}", "$offset: the job of each second goes on");
	wait_for("SELECT count(*) = $before{$_} + 1 FROM note WHERE job = $job{$_}", "$offset: the $_ job runs") for @due;
	ok(slurp_file($node->logfile, $before{log}) =~ qr/the system clock was set (forward|back) by/, "$offset: the log tells");
}
# Starts lie no further from now than the schedule, or the retry, has them.
sub starts_are_sane
{
	my ($when) = @_;
	is( sql(q{SELECT string_agg(format('%s %s', proc_name, next_start), ', ') FROM tsext.jobs
			WHERE job_id >= 1000 AND proc_name <> 'policy_retention' AND status = 'scheduled' AND next_start > now() + least(schedule_interval, CASE WHEN consecutive_failures > 0 THEN interval '1 hour' END)}),
		'', "$when: no job waits longer than its schedule has it wait");
}

wait_for("SELECT count(DISTINCT job) = 6 FROM note", 'every job has run');
wait_for("SELECT count(*) = 1 FROM tsext.alerts WHERE state = 'pending'", 'the alert waits');
wait_for(q{SELECT count(*) = 0 FROM tsext.job_runs WHERE outcome = 'running' AND job_id NOT IN (SELECT job_id FROM tsext.jobs WHERE proc_name IN ('waits', 'take_note', 'evaluate_alert'))}, 'and has ended');
starts_are_sane('before');

# An hour back while a job runs.
jump('-1h');
wait_for("SELECT count(*) > 0 FROM tsext.job_runs WHERE job_id = $job{alert} AND started < now() AND now() - started < interval '1 min'", '-1h: the alert is evaluated by the new clock');
is(sql(q{SELECT state, since <= now() FROM tsext.alerts}), 'pending|t', '-1h: it waits from then');
starts_are_sane('-1h');
is(sql("SELECT next_start <= now() + interval '30 min' FROM tsext.jobs WHERE job_id = $job{failing}"), 't', '-1h: a retry waits no longer than it did');
is(sql("SELECT outcome FROM tsext.job_runs WHERE job_id = $job{waits}"), 'running', '-1h: no time limit was reached by that');

# A day forward: what became due runs, once.
jump('+1d', 'daily', 'drifting', 'failing');
wait_for("SELECT state = 'firing' FROM tsext.alerts", '+1d: a time that was skipped counts as passed for an alert');
is(sql("SELECT outcome FROM tsext.job_runs WHERE job_id = $job{waits}"), 'running', '+1d: no time limit was reached by that');
sql("CALL run_job($job{retention})");
is(sql(q{SELECT count(*) FROM kept WHERE time < now() - interval '3 days 1 hour'}), 0, '+1d: retention drops what is three days old by the clock');
is(sql(q{SELECT count(*) FROM twin WHERE time > now() - interval '3 days' AND v NOT IN (SELECT v FROM kept)}), 0, '+1d: and nothing else');
my $kept = sql('SELECT count(*), max(v) FROM kept');
starts_are_sane('+1d');

sql("SET tsext.enable_bulk = off; INSERT INTO hot SELECT now() - g * interval '10 days', g FROM generate_series(1, 100) g");
# A day back, and another one: grids that have begun "tomorrow" too.
jump('-1d', 'drifting');
wait_for(q{SELECT count(*) = 0 FROM tsext.jobs WHERE proc_name = 'take_note' AND last_finish > now() + interval '10 s' AND next_start > now() + schedule_interval}, '-1d: next starts are seen');
starts_are_sane('-1d');
sql("CALL run_job($job{retention})");
is(sql('SELECT count(*), max(v) FROM kept'), $kept, '-1d: retention drops nothing');
sql("SELECT alter_job($job{daily}, next_start => now())");
wait_for("SELECT count(*) = $before{daily} + 1 FROM note WHERE job = $job{daily}", '-1d: the daily job runs');
wait_for("SELECT next_start <= now() + interval '1 day' AND last_finish <= now() FROM tsext.jobs WHERE job_id = $job{daily}", '-1d: and its grid goes on before its beginning');
is(sql(q{SELECT state, since <= now() + interval '3 days' FROM tsext.alerts}), 'firing|t', '-1d: the alert fires still');
is(sql("SELECT outcome FROM tsext.job_runs WHERE job_id = $job{waits}"), 'running', '-1d: no time limit was reached by that');

# The long run ends, before it began.
$keeper->query_safe('SELECT pg_advisory_unlock(77)');
$keeper->quit;
wait_for("SELECT outcome = 'succeeded' FROM tsext.job_runs WHERE job_id = $job{waits}", 'the long run ends well');
starts_are_sane('at the end');
wait_for(q{SELECT count(*) > 0 FROM tsext.segment WHERE store = (SELECT reltoastrelid FROM pg_class WHERE oid = 'hot'::regclass)}, 'compaction counts the age of rows on, now that none is held back by it');
is(sql(q{SELECT count(*) FROM tsext.job_runs WHERE outcome NOT IN ('running', 'succeeded') AND job_id <> } . $job{failing}), 0, 'no other run has failed');
# One run a second, and a few more for three jumps.
cmp_ok(count('tick'), '<', time - $^T + 100, 'there was no storm of runs');
cmp_ok(count($_), '<=', 8, "nor of the $_ job") for qw(daily drifting monthly failing);
$node->stop;
done_testing();
