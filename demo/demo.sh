#!/usr/bin/env bash
# The main job on real data: a private server, two tables, their size against a heap, some questions.
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

test/install_packages.sh build
echo "building (a few minutes the first time) …"
if command -v ccache >/dev/null; then cxx="ccache g++"; else cxx=g++; fi
mkdir -p build
make -s -j "$(nproc)" CXX="$cxx" >build/demo-build.log 2>&1 || { tail -n 40 build/demo-build.log; exit 1; }
test/server.sh stop demo 2>/dev/null || true      # a rebuilt library is loaded at the server's start
TSEXT_LISTEN=1 test/server.sh start demo
eval "$(test/server.sh env demo)"
bin=$(dirname "$(command -v /usr/lib/postgresql/15/bin/psql || command -v psql)")
query() { "$bin/psql" -X -q -v ON_ERROR_STOP=1 "$@"; }
export PGDATABASE=postgres
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
echo
echo "Connect:  $bin/psql -h 127.0.0.1 -p $PGPORT -U postgres demo"
echo "     or:  $bin/psql -h $PGHOST -p $PGPORT -U postgres demo"
echo "Stop:     make demo-stop"
