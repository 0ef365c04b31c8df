# The library's file is replaced under a running server: whatever process comes later still uses the one that was preloaded, even when the new
# file is none; a second copy in one process is refused; a restart takes the new one.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# An installation of its own, which may be broken.
my $config = slurp_file($ENV{TEMP_CONFIG});
my ($installed) = $config =~ /^extension_destdir = '(.*)'/m or die 'no extension_destdir';
my $folder = PostgreSQL::Test::Utils::tempdir . '/install';
system_or_bail('cp', '-r', $installed, $folder);
my ($preloaded) = $config =~ /^shared_preload_libraries = '\Q$installed\E(.*)'/m or die 'no shared_preload_libraries';
my $library = "$folder$preloaded.so";
my $node = PostgreSQL::Test::Cluster->new('library');
$node->init;
$node->append_conf('postgresql.conf', ($config =~ s/\Q$installed\E/$folder/gr) . "\ntsext.compact_naptime = 1\ntsext.compact_age = 1\nrestart_after_crash = on\nlog_statement = none");
$node->start;
sub sql { my ($sql) = @_; return $node->safe_psql('postgres', $sql); }
sub wait_for { my ($sql, $what) = @_; ok($node->poll_query_until('postgres', $sql), $what); }
sub works
{
	my ($when) = @_;
	my $before = sql("SELECT count(*) FROM tsext.job_runs WHERE job_id >= 1000 AND outcome = 'succeeded'");
	wait_for("SELECT count(*) > $before FROM tsext.job_runs WHERE job_id >= 1000 AND outcome = 'succeeded'", "$when: jobs run");
	sql("INSERT INTO t SELECT '2024-01-01'::timestamptz + g * interval '1 s', g % 7, g FROM generate_series(1, 20000) g; SELECT tsext.compact('t'); CALL refresh_continuous_aggregate('hourly', NULL, NULL)");
	is(sql('SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; SELECT sum(v) - (SELECT sum(total) FROM hourly) FROM t'), 0, "$when: queries too");
}
sql(q{
CREATE EXTENSION tsext;
CREATE TABLE t (time timestamptz NOT NULL, host int, v int) USING tsext;
CREATE MATERIALIZED VIEW hourly WITH (tsext.continuous) AS SELECT time_bucket('1 hour', time) AS bucket, host, sum(v) AS total FROM t GROUP BY 1, 2;
CREATE PROCEDURE nothing(job_id int, config jsonb) LANGUAGE sql AS 'SELECT';
SELECT add_job('nothing', '1 s')});
works('before');

system_or_bail('cp', $library, "$folder/second.so");
my ($status, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\nLOAD '$folder/second.so'");
like($err, qr/ERROR:  55000: tsext \S+ cannot be loaded: tsext \S+ is loaded already from another file\n.*HINT:  Restart the server/s, 'a second copy is refused');
works('after a second copy');

rename $library, "$library.old" or die;
PostgreSQL::Test::Utils::append_to_file($library, 'No library at all.');
works('the file replaced');
sql(q{SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE backend_type LIKE 'tsext%'});
wait_for(q{SELECT count(DISTINCT backend_type) = 4 FROM pg_stat_activity WHERE backend_type LIKE 'tsext%'}, 'all processes of tsext come again');
works('the processes replaced');
my $end = -s $node->logfile;
kill 'KILL', sql(q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'tsext scheduler'});
$node->wait_for_log(qr/database system is ready to accept connections/, $end);
works('after a crash');
is(sql('SELECT tsext.version() = extversion FROM pg_extension WHERE extname = \'tsext\''), 't', 'library and extension are of one version');
sql('ALTER EXTENSION tsext UPDATE');
works('after ALTER EXTENSION UPDATE');

unlink $library;
rename "$folder/second.so", $library or die;
$node->restart;
works('after a restart with the new file');
$node->stop;
done_testing();
