#!/usr/bin/env bash
# Measures tsext beside a heap table and DuckDB; bench/README.md says what the figures mean and keeps the last ones.
#
#   bench/run.sh [size|load|codecs|query|ingest|concurrent|jobs [ARGUMENTS]]      default: codecs size load query ingest concurrent jobs
#     codecs       speed of the core's loops (Google Benchmark) and their ratios
#     size         bytes on disk                     arguments: codecs int dec raw minutes planning
#     load         speed of writing                  arguments: copy insert select compact
#     query        speed of reading                  arguments: cpu100 cpu1000 rates growth planning grafana
#     ingest       line protocol                     arguments: parser sql http udp
#     concurrent   writers, readers and compaction   argument: seconds
#     jobs         aggregates, retention, scheduler  arguments: refresh invalidation view [days] drop scheduler
#
# A private server (data under build/) with TSEXT_BENCH_CONF or the settings below is started and removed; that of "query" is kept,
# stopped, with what was loaded (some 4 GB; test/server.sh wipe bench-query removes it). TSEXT_DATA: the folder of real series.
# TSEXT_BENCH_REPEATS (3), TSEXT_BENCH_SECONDS (8, of a pgbench run), TSEXT_BENCH_TIMES and TSEXT_BENCH_BUDGET: see query.py.
set -euo pipefail
umask 022
cd "$(dirname "$0")/.."
unset MAKEFLAGS MAKELEVEL MFLAGS PGHOST PGPORT PGUSER PGDATABASE PGOPTIONS PGSERVICE
if [ $# = 0 ]; then
  status=0
  for part in codecs size load query ingest concurrent jobs; do bench/run.sh $part || status=1; done
  exit $status
fi
part=$1
shift
case $part in size | load | codecs | query | ingest | concurrent | jobs) ;; *) sed -n '2,15p' "$0"; exit 2 ;; esac

[ -n "${TSEXT_SKIP_PACKAGES:-}" ] || test/install_packages.sh build bench
if [ -z "${PG_CONFIG:-}" ]; then
  PG_CONFIG=/usr/lib/postgresql/15/bin/pg_config
  [ -x $PG_CONFIG ] || PG_CONFIG=pg_config
fi
export PG_CONFIG
PATH=$($PG_CONFIG --bindir):$PATH
cxx=g++ launcher=()
if command -v ccache >/dev/null; then cxx="ccache g++" launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi
mkdir -p build/bench

core_tools() {
  cmake -S . -B build/cmake/release "${launcher[@]}" -DCMAKE_BUILD_TYPE=Release >build/bench/cmake.log
  cmake --build build/cmake/release -j "$(nproc)" --target "$@" >>build/bench/cmake.log || { tail -n 30 build/bench/cmake.log; exit 1; }
}

echo "## $part: $(date -u +%Y-%m-%d), $(nproc) cores, $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1), commit $(git rev-parse --short HEAD 2>/dev/null || echo unknown)"
if [ "$part" = codecs ]; then
  core_tools core_bench
  exec python3 bench/codecs.py "$@"
fi
[ "$part" != size ] || core_tools codec_size_tool
[ "$part" != ingest ] || core_tools core_bench
make -s -j "$(nproc)" CXX="$cxx" >build/bench/make.log 2>&1 || { tail -n 30 build/bench/make.log; exit 1; }
TSEXT_BENCH_DIR=$(test/server.sh root)/bench
export TSEXT_BENCH_DIR
mkdir -p "$TSEXT_BENCH_DIR"
if [ ! -x "$TSEXT_BENCH_DIR/tsgen" ] || [ bench/tsgen.cpp -nt "$TSEXT_BENCH_DIR/tsgen" ]; then g++ -O2 -std=c++20 -o "$TSEXT_BENCH_DIR/tsgen" bench/tsgen.cpp; fi
if [ "$part" != concurrent ] && [ "$part" != ingest ] && [ "$part" != jobs ]; then
  export TSEXT_NODE_MODULES=$PWD/build/bench/node_modules
  if [ ! -d "$TSEXT_NODE_MODULES/@duckdb/node-api" ]; then
    cp bench/package.json build/bench/
    npm install --prefix build/bench --no-audit --no-fund --silent
  fi
fi

conf=${TSEXT_BENCH_CONF:-$PWD/build/bench/postgresql.conf}
if [ -z "${TSEXT_BENCH_CONF:-}" ]; then
  cat >"$conf" <<CONF
shared_buffers = $(awk '/^MemTotal/ { mb = int($2 / 1024 / 4); print (mb > 4096 ? 4096 : mb) "MB" }' /proc/meminfo)
work_mem = 256MB
maintenance_work_mem = 256MB
jit = off
max_wal_size = 16GB
checkpoint_timeout = 1h
tsext.compact_background = off      # what is measured calls tsext.compact() itself
deadlock_timeout = 20ms
log_lock_waits = on
CONF
  [ "$part" != jobs ] || echo "max_worker_processes = 16" >>"$conf"
fi
name=bench
if [ "$part" = query ]; then
  name=bench-query
  exec 8>build/bench/query.lock
  flock -n 8 || { echo "bench/run.sh query is running already" >&2; exit 1; }
  kept=$(test/server.sh root)/servers/$name
  cmp -s "$conf" "$kept/conf" || test/server.sh wipe $name       # its settings have changed, or there is none
  trap 'test/server.sh stop bench-query' EXIT
else
  trap 'test/server.sh wipe bench; if [ -f build/stage ] && [ ! -d "$(cat build/stage)/servers/bench-query" ]; then test/server.sh clean; fi' EXIT
  test/server.sh wipe $name
fi
trap 'exit 130' INT
trap 'exit 143' TERM HUP
TSEXT_CONF=$conf test/server.sh start $name 8>&-
if [ "$part" = query ]; then cp "$conf" "$kept/conf"; fi
eval "$(test/server.sh env $name)"
TSEXT_SERVER_LOG=$(test/server.sh root)/servers/$name/log
export TSEXT_SERVER_LOG PATH
python3 "bench/$part.py" "$@"
