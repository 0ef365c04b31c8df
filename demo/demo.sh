#!/usr/bin/env bash
# The main job on real data: a private server, two tables, their size against a heap, some questions, jobs at work, lines from the network.
#
#   demo/demo.sh start    installs missing packages, builds, starts the server, loads, prints (make demo; can be run again)
#   demo/demo.sh stop     stops the server and removes its files (make demo-stop)
set -euo pipefail
umask 022
cd "$(dirname "$0")/.."
unset MAKEFLAGS MAKELEVEL MFLAGS PGHOST PGPORT PGUSER PGDATABASE PGOPTIONS PGSERVICE
case ${1:-start} in
stop)
  if [ -d build/servers/demo ] || [ -f build/stage ]; then test/server.sh wipe demo; fi
  if [ -f build/stage ] && [ -z "$(ls -A "$(cat build/stage)/servers")" ]; then test/server.sh clean; fi
  echo "the demo's server is stopped and its files are gone"
  exit ;;
start) ;;
*) sed -n '2,5p' "$0"; exit 2 ;;
esac

test/install_packages.sh build demo
echo "building (a few minutes the first time) …"
if command -v ccache >/dev/null; then cxx="ccache g++"; else cxx=g++; fi
mkdir -p build
make -s -j "$(nproc)" CXX="$cxx" >build/demo-build.log 2>&1 || { tail -n 40 build/demo-build.log; exit 1; }
test/server.sh stop demo 2>/dev/null || true      # a rebuilt library is loaded at the server's start
TSEXT_LISTEN=1 test/server.sh start demo
eval "$(test/server.sh env demo)"
bin=$(dirname "$(command -v /usr/lib/postgresql/15/bin/psql || command -v psql)")
query() { "$bin/psql" -X -q -v ON_ERROR_STOP=1 "$@"; }
wait_for() {   # wait_for QUERY: until it gives t, at most three minutes
  local i
  for ((i = 0; i < 900; i++)); do
    if [ "$(query -At -c "$1")" = t ]; then return; fi
    sleep 0.2
  done
}
export PGDATABASE=postgres
# The listeners of an earlier demo leave its database first.
for setting in udp_listen http_listen; do query -c "ALTER SYSTEM RESET tsext.$setting"; done
query -c 'SELECT pg_reload_conf()' >/dev/null
wait_for "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type LIKE 'tsext % listener'"
query -c 'DROP DATABASE IF EXISTS demo WITH (FORCE)' -c 'CREATE DATABASE demo' 2>/dev/null
export PGDATABASE=demo
echo "loading demo/data: air quality of Beijing (CC BY 4.0), Numenta's sensor readings (MIT) …"
query -f demo/load.sql >build/demo-load.log

echo
echo "Size on disk, all files of a table counted:"
query -P footer=off -c "
SELECT name AS \"table\", rows, pg_size_pretty(heap) AS heap, pg_size_pretty(tsext) AS tsext, round(heap::numeric / tsext, 1) AS times_smaller,
       round(heap::numeric / rows, 1) AS heap_bytes_a_row, round(tsext::numeric / rows, 1) AS tsext_bytes_a_row
FROM (SELECT 'air_quality' AS name, (SELECT count(*) FROM air_quality) AS rows, pg_total_relation_size('air_quality_heap') AS heap, hypertable_size('air_quality') AS tsext
      UNION ALL
      SELECT 'sensors', (SELECT count(*) FROM sensors), pg_total_relation_size('sensors_heap'), hypertable_size('sensors')) s"

query -v air_quality=air_quality -v sensors=sensors -f demo/queries.sql | tee build/demo-tsext.txt
query -v air_quality=air_quality_heap -v sensors=sensors_heap -f demo/queries.sql >build/demo-heap.txt
cmp build/demo-tsext.txt build/demo-heap.txt || { diff build/demo-tsext.txt build/demo-heap.txt; echo "the answers differ from the heap's"; exit 1; }
for table in air_quality sensors; do
  differing=$(query -At -c "SELECT count(*) FROM ((TABLE $table EXCEPT ALL TABLE ${table}_heap) UNION ALL (TABLE ${table}_heap EXCEPT ALL TABLE $table)) d")
  [ "$differing" = 0 ] || { echo "$differing rows of $table differ from the heap's"; exit 1; }
done
echo "All answers and every row equal those of a heap table."

query -f demo/jobs.sql

# Lines from the network. InfluxDB's ports where they are free, others where they are not.
free_port() {   # free_port TYPE PORT
  python3 - "$@" <<'PYTHON'
import random, socket, sys
kind = getattr(socket, "SOCK_" + sys.argv[1])
for port in (int(sys.argv[2]), *random.sample(range(10240, 32768), 100)):    # below the ports of whoever connects
    try:
        s = socket.socket(socket.AF_INET, kind)
        s.bind(("127.0.0.1", port))
        print(s.getsockname()[1])
        break
    except OSError:
        pass
PYTHON
}
udp=$(free_port DGRAM 8089) http=$(free_port STREAM 8086)
query -c "DO \$\$BEGIN CREATE ROLE demo_lines LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END\$\$" -c 'GRANT CREATE ON SCHEMA public TO demo_lines'
for setting in "listen_database = 'demo'" "listen_role = 'demo_lines'" "udp_listen = '127.0.0.1:$udp'" "http_listen = '127.0.0.1:$http'"; do
  query -c "ALTER SYSTEM SET tsext.$setting"
done
query -c 'SELECT pg_reload_conf()' >/dev/null
wait_for 'SELECT count(address) = 2 FROM tsext.listener_stats'
echo
echo 'Lines of InfluxDB'"'"'s protocol from the network:'
run() { echo "    $1"; eval "$1"; }
run "echo \"test,host=server,region=us-east1 value=0.80 1234567890000000000\" | nc -u -w1 127.0.0.1 $udp"
run "curl -sS -f -X POST 'http://127.0.0.1:$http/write?precision=s' --data-binary 'weather,station=north temperature=21.5 1700000000'"
wait_for "SELECT to_regclass('test') IS NOT NULL"
query -P footer=off -c 'TABLE test' -c 'TABLE weather'
run "curl -sS -f -X POST -d 'q=SELECT * from test' localhost:$http/query"
echo
echo "Connect:  $bin/psql -h 127.0.0.1 -p $PGPORT -U postgres demo"
echo "     or:  $bin/psql -h $PGHOST -p $PGPORT -U postgres demo"
echo "Stop:     make demo-stop"
