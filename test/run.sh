#!/usr/bin/env bash
# Runs the tests, layer by layer, and ends with the line "N passed, N failed".
#
#   test/run.sh [LAYER…]      default: all of them, in this order:
#     style         layers of the includes, clang-format, clang-tidy
#     core          GoogleTest under AddressSanitizer and UndefinedBehaviorSanitizer, then once more at -O3
#     fuzz          every libFuzzer target, fixed seed, TSEXT_FUZZ_SECONDS (default 80) of running time in all
#     build         the extension without a warning; the kernel objects hold no weak symbol
#     regress       sql/*.sql by pg_regress
#     isolation     test/isolation/specs/*.spec
#     tap           test/tap/*.pl by prove
#     differential  random statements, random queries, random writes under continuous aggregates, Grafana's statements and real data against a heap twin
#     clients       collectd and InfluxDB's clients write to the listeners, drivers read it back
#     doc           the SQL of README.md and doc/*.md runs
#
# By hand: test/by_hand/disk_full.sh and disk_full_jobs.sh (a full disk), hostile_clients.py (the listeners), kill_jobs.py (SIGKILL at every stop point of jobs),
# stall.py (any of this on a machine that stalls);
# test/suites (PostgreSQL's own tests).
#
# Everything it makes lies under build/ (or, when the server's account cannot reach that, in a staged directory that is
# removed at the end). No server is left running, whatever happens.
set -uo pipefail
umask 022
cd "$(dirname "$0")/.."
unset MAKEFLAGS MAKELEVEL MFLAGS PGHOST PGPORT PGUSER PGDATABASE PGOPTIONS PGSERVICE
unset LANGUAGE LC_ALL LC_COLLATE LC_CTYPE LC_MESSAGES LC_MONETARY LC_NUMERIC LC_TIME
export LANG=C.UTF-8
# Limits of waiting: nothing takes so long but what never comes, and a busy machine shall not look like that.
export PGCTLTIMEOUT=300 PG_TEST_TIMEOUT_DEFAULT=300
all_layers=(style core fuzz build regress isolation tap differential clients doc)
layers=("${@:-${all_layers[@]}}")
if [ $# = 0 ]; then layers=("${all_layers[@]}"); fi

if [ -z "${TSEXT_SKIP_PACKAGES:-}" ]; then
  groups=(build test)
  [[ " ${layers[*]} " != *" clients "* ]] || groups+=(clients)
  test/install_packages.sh "${groups[@]}" || exit 1
fi
if [ -z "${PG_CONFIG:-}" ]; then
  PG_CONFIG=/usr/lib/postgresql/15/bin/pg_config
  [ -x $PG_CONFIG ] || PG_CONFIG=pg_config
fi
export PG_CONFIG
bin=$($PG_CONFIG --bindir)
pgxs=$(dirname "$(dirname "$($PG_CONFIG --pgxs)")")        # …/pgxs/src
jobs=$(nproc)
out=$PWD/build/test
mkdir -p "$out"
launcher=()
if command -v ccache >/dev/null; then launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); : "${CXX:=ccache g++}"; fi
: "${CXX:=g++}"
make_extension=(make -s -j "$jobs" CXX="$CXX" PG_CONFIG="$PG_CONFIG" WERROR=1)

total_passed=0 total_failed=0 layer=''
passed() { layer_passed=$((layer_passed + ${1:-1})); }
failed() {   # failed NAME [LOG]: counts one failure and shows the end of its log
  layer_failed=$((layer_failed + 1))
  echo "FAILED: $layer: $1"
  if [ -n "${2:-}" ] && [ -s "$2" ]; then echo "--- the end of ${2#"$PWD"/}:"; tail -n "${3:-60}" "$2"; echo "---"; fi
}
child=''
supervised() {   # supervised SECONDS LOG CMD…: a signal to this script ends CMD at once, with all it started
  local limit=$1 log=$2 status
  shift 2
  (
    cd "${directory:-.}" || exit 1
    exec timeout -k 10 "$limit" "$@"
  ) >"$log" 2>&1 &
  child=$!
  wait $child
  status=$?
  child=''
  return $status
}
check() {    # check NAME CMD…: one test case
  local name=$1 log
  shift
  log=$out/$(echo "$layer-$name" | tr -c 'a-zA-Z0-9._\n-' _).log
  if supervised 3600 "$log" "$@"; then passed; else failed "$name" "$log"; return 1; fi
}
count_tap() {  # count_tap NAME LOG EXIT: the top-level ok / not ok lines of a log
  local good bad
  good=$(grep -c '^ok [0-9]' "$2"); bad=$(grep -c '^not ok [0-9]' "$2")
  passed "$good"
  if [ "$bad" -gt 0 ]; then
    layer_failed=$((layer_failed + bad - 1))
    grep '^not ok ' "$2"
    failed "$1 ($bad cases)" "$2"
  elif [ "$3" != 0 ] || [ "$good" = 0 ]; then failed "$1 (exit $3)" "$2"; fi
}

servers=()
start_server() {   # start_server NAME [LINES FOR POSTGRESQL.CONF]
  servers+=("$1")
  # Tests say themselves when rows are compacted.
  printf '%s\n' "tsext.compact_background = off" "${2:-}" >"$out/server-$1.conf"
  TSEXT_CONF=$out/server-$1.conf supervised 900 "$out/server-$1.log" test/server.sh start "$1" || { failed "the server does not start" "$out/server-$1.log"; return 1; }
  mapfile -t server_env < <(test/server.sh env "$1" | sed 's/^export //' | tr ' ' '\n')
}
wipe_server() { test/server.sh wipe "$1"; }
stop_tap_clusters() {   # what a killed TAP test left behind
  local root pid_file
  root=$(test/server.sh root 2>/dev/null) || return 0
  for pid_file in $(find "$root/tap" -name postmaster.pid 2>/dev/null); do
    test/server.sh as "$bin/pg_ctl" -D "$(dirname "$pid_file")" -m immediate -t 20 stop >/dev/null 2>&1
  done
}
clean_up() {
  local name status=$?
  trap '' INT TERM HUP
  trap - EXIT
  if [ -n "$child" ]; then kill "$child" 2>/dev/null; wait "$child" 2>/dev/null; fi
  if [ -n "${PG_CONFIG:-}" ] && [ -x "$bin/pg_ctl" ]; then
    stop_tap_clusters
    for name in "${servers[@]}"; do test/server.sh wipe "$name" 2>/dev/null; done
    if [ -f build/stage ] && [ -z "$(ls "$(cat build/stage)/servers" 2>/dev/null)" ]; then test/server.sh clean; fi
  fi
  exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

cmake_build() {   # cmake_build NAME DIRECTORY TARGETS… -- CMAKE_ARGUMENTS…: one test case
  local name=$1 dir=$2 targets=()
  shift 2
  while [ "$1" != -- ]; do targets+=("$1"); shift; done
  shift
  check "$name, configured" cmake -S . -B "$dir" "${launcher[@]}" "$@" || return
  passed -1
  check "$name" cmake --build "$dir" -j "$jobs" --target "${targets[@]}"
}
build_sanitized() {
  cmake_build "build with sanitizers" build/cmake/sanitized "$@" -- -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_CXX_COMPILER=clang++-14 \
    -DTSEXT_SANITIZE=ON -DTSEXT_FUZZ=ON
}

layer_style() {
  check "includes point down only" python3 test/check_layers.py
  check "clang-format" bash -c 'find src include bench test -name "*.[ch]pp" -print0 -o -name "*.inc" -print0 | xargs -0 clang-format-14 --dry-run -Werror'
  check "clang-tidy" python3 test/clang_tidy.py
}

run_gtest() {   # run_gtest NAME PROGRAM
  local log=$out/gtest-$1.log status good bad
  supervised 1800 "$log" "$2" --gtest_color=no; status=$?
  good=$(grep -c '^\[       OK \]' "$log"); bad=$(grep -c '^\[  FAILED  \] .* ms)$' "$log")
  passed "$good"
  if [ "$bad" -gt 0 ]; then
    layer_failed=$((layer_failed + bad - 1))
    failed "$1 ($bad cases)" "$log"
  elif [ $status != 0 ] || [ "$good" = 0 ]; then failed "$1 (exit $status)" "$log"; fi
}
layer_core() {
  export ASAN_OPTIONS=detect_stack_use_after_return=1 UBSAN_OPTIONS=print_stacktrace=1
  build_sanitized core_test && run_gtest sanitized build/cmake/sanitized/core_test
  cmake_build "build at -O3" build/cmake/release core_test core_bench -- -DCMAKE_BUILD_TYPE=Release &&
    run_gtest release build/cmake/release/core_test
}

layer_fuzz() {
  local targets target seconds
  mapfile -t targets < <(find src/core -name '*_fuzz.cpp' -exec basename -s .cpp {} + | LC_ALL=C sort)
  [ ${#targets[@]} -gt 0 ] || { failed "there are no fuzz targets"; return; }
  build_sanitized "${targets[@]}" || return
  seconds=$(((${TSEXT_FUZZ_SECONDS:-80} + ${#targets[@]} - 1) / ${#targets[@]}))
  for target in "${targets[@]}"; do
    rm -f "$out/fuzz-$target.status"
    mkdir -p "$out/fuzz/$target" "test/corpus/$target"
  done
  printf '%s\n' "${targets[@]}" >"$out/fuzz-targets"
  supervised 3000 "$out/fuzz.log" xargs -a "$out/fuzz-targets" -P "$jobs" -I{} sh -c '
    timeout $(($1 + 600)) build/cmake/sanitized/{} -seed=1 -max_total_time=$1 -timeout=60 -rss_limit_mb=3000 -print_final_stats=1 \
      -artifact_prefix="$2/fuzz/{}-" "$2/fuzz/{}" test/corpus/{} >"$2/fuzz-{}.log" 2>&1
    echo $? >"$2/fuzz-{}.status"' sh "$seconds" "$out"
  for target in "${targets[@]}"; do
    if [ "$(cat "$out/fuzz-$target.status" 2>/dev/null)" = 0 ]; then
      passed
      echo "  $target: $(awk '/number_of_executed_units/ {print $2}' "$out/fuzz-$target.log") runs in $seconds s"
    else failed "$target" "$out/fuzz-$target.log"; fi
  done
}

layer_build() {
  check "the extension builds without a warning" "${make_extension[@]}" || return
  check "kernel objects hold no weak symbol" test/check_kernels.sh
}

run_pg_regress() {  # run_pg_regress NAME PROGRAM TESTS…, arguments of the program in $regress_args
  local name=$1 program=$2 status
  shift 2
  local log=$out/$name.log
  mkdir -p "$out/$name"
  # Autovacuum would come whenever it likes: it holds locks and changes plans.
  start_server "$name" "autovacuum = off" || return
  supervised 3000 "$log" env "${server_env[@]}" PGOPTIONS="-c statement_timeout=300s" "$program" --bindir="$bin" --outputdir="$out/$name" \
    --user=postgres --dbname=regression --load-extension=tsext "${regress_args[@]}" "$@"
  status=$?
  local good bad
  good=$(grep -cE '^(test| ) .* \.\.\. ok ' "$log"); bad=$(grep -cE '^(test| ) .* \.\.\. (FAILED|failed)' "$log")
  passed "$good"
  if [ "$bad" -gt 0 ]; then
    grep -E ' \.\.\. (FAILED|failed)' "$log"
    layer_failed=$((layer_failed + bad - 1))
    failed "$name ($bad files)" "$out/$name/regression.diffs" 300
  elif [ $status != 0 ] || [ "$good" -lt $# ]; then failed "$name (exit $status)" "$log"; fi
  local server_log
  server_log=$(test/server.sh root)/servers/$name/log
  if grep -qE 'PANIC|was terminated by signal|TRAP:' "$server_log"; then failed "the server crashed" "$server_log"; fi
  wipe_server "$name"
}
layer_regress() {
  local tests regress_args=(--inputdir=.)
  mapfile -t tests < <(find sql -maxdepth 1 -name '*.sql' ! -name '*--*' -printf '%f\n' | sed 's/\.sql$//' | LC_ALL=C sort)
  [ ${#tests[@]} -gt 0 ] || { failed "there are no tests"; return; }
  run_pg_regress regress "$pgxs/test/regress/pg_regress" "${tests[@]}"
}
layer_isolation() {
  local tests regress_args=(--inputdir=test/isolation)
  mapfile -t tests < <(find test/isolation/specs -name '*.spec' -printf '%f\n' | sed 's/\.spec$//' | LC_ALL=C sort)
  [ ${#tests[@]} -gt 0 ] || { failed "there are no tests"; return; }
  run_pg_regress isolation "$pgxs/test/isolation/pg_isolation_regress" "${tests[@]}"
}

layer_tap() {
  local root tests file name status
  mapfile -t tests < <(find test/tap -name '*.pl' | LC_ALL=C sort)
  [ ${#tests[@]} -gt 0 ] || { failed "there are no tests"; return; }
  root=$(test/server.sh root)
  make -s install DESTDIR="$root/install" PG_CONFIG="$PG_CONFIG" >/dev/null || { failed "install"; return; }
  rm -rf "$root/tap"
  mkdir -p "$root/tap"
  cp -r test/tap "$root/tap/tests"
  cp test/data/line_protocol_cases.tsv "$root/tap/tests"
  test/server.sh conf >"$root/tap/tsext.conf"
  echo "max_worker_processes = 16" >>"$root/tap/tsext.conf"
  if [ "$(id -u)" = 0 ]; then chown -R "${TSEXT_USER:-postgres}" "$root/tap"; fi
  for file in "${tests[@]}"; do
    name=$(basename "$file" .pl)
    directory=$root/tap supervised 1500 "$out/tap-$name.log" "$PWD/test/server.sh" as env PATH="$bin:$PATH" PERL5LIB="$pgxs/test/perl:$root/tap/tests" \
      TESTDIR="$root/tap" TESTDATADIR="$root/tap/tmp_check" TEMP_CONFIG="$root/tap/tsext.conf" PG_REGRESS="$pgxs/test/regress/pg_regress" \
      prove -v --timer "tests/${file#test/tap/}"
    status=$?
    count_tap "$name" "$out/tap-$name.log" $status
    stop_tap_clusters
  done
}

layer_differential() {
  # Its programs vacuum and analyze themselves; autovacuum's locks would run into the short time-outs of some.
  start_server differential "autovacuum = off" || return
  supervised 900 "$out/differential.log" env "${server_env[@]}" PATH="$bin:$PATH" python3 test/differential/differential.py --seed 1 \
    --seconds "${TSEXT_DIFFERENTIAL_SECONDS:-60}" --keep-going
  count_tap "random statements" "$out/differential.log" $?
  supervised 900 "$out/query.log" env "${server_env[@]}" python3 test/differential/query.py --seed 1 \
    --seconds "${TSEXT_QUERY_SECONDS:-40}" --keep-going
  count_tap "random queries" "$out/query.log" $?
  tail -n 1 "$out/query.log"
  supervised 900 "$out/aggregates.log" env "${server_env[@]}" python3 test/differential/aggregates.py --seed 1 \
    --seconds "${TSEXT_AGGREGATES_SECONDS:-60}" --keep-going
  count_tap "continuous aggregates under random writes" "$out/aggregates.log" $?
  supervised 900 "$out/aggregates_race.log" env "${server_env[@]}" python3 test/differential/aggregates_race.py --seconds "${TSEXT_RACE_SECONDS:-20}"
  count_tap "continuous aggregates in a race" "$out/aggregates_race.log" $?
  supervised 900 "$out/lines.log" env "${server_env[@]}" python3 test/differential/lines.py --seconds "${TSEXT_LINES_SECONDS:-15}"
  count_tap "random lines" "$out/lines.log" $?
  supervised 900 "$out/grafana.log" env "${server_env[@]}" python3 test/differential/grafana.py
  count_tap "Grafana's statements" "$out/grafana.log" $?
  supervised 2400 "$out/real_data.log" env "${server_env[@]}" PATH="$bin:$PATH" python3 test/differential/real_data.py
  count_tap "real data" "$out/real_data.log" $?
  wipe_server differential
}

# Below the ports that the kernel gives to whoever connects: nobody takes it in between by chance.
free_port() {   # free_port tcp|udp
  python3 - "$1" <<'PYTHON'
import random, socket, sys
while True:
    with socket.socket(type=socket.SOCK_STREAM if sys.argv[1] == "tcp" else socket.SOCK_DGRAM) as s:
        try:
            s.bind(("127.0.0.1", random.randrange(10240, 32768)))
        except OSError:
            continue
        print(s.getsockname()[1])
        break
PYTHON
}
layer_clients() {
  local http udp modules=$PWD/build/clients/node_modules
  mkdir -p build/clients
  if ! cmp -s test/clients/package.json build/clients/package.json || [ ! -d "$modules" ]; then
    cp test/clients/package.json build/clients/
    local tries=1
    until supervised 300 "$out/clients-npm.log" npm install --prefix build/clients --no-audit --no-fund --silent; do
      if [ $tries = 3 ]; then
        rm -f build/clients/package.json
        failed "npm install" "$out/clients-npm.log"
        return
      fi
      tries=$((tries + 1))
      sleep 10   # the registry may be out of reach for a moment
    done
  fi
  http=$(free_port tcp) udp=$(free_port udp)
  start_server clients "tsext.http_listen = '127.0.0.1:$http'
tsext.udp_listen = '127.0.0.1:$udp'
$(cat test/clients/postgresql.conf)" || return
  test/server.sh psql clients -q -v ON_ERROR_STOP=1 -c 'CREATE EXTENSION tsext' -c 'CREATE ROLE agent LOGIN' \
    -c 'GRANT CREATE ON SCHEMA public TO agent' -c 'GRANT CREATE ON DATABASE postgres TO agent' || { failed "the role of the listeners"; return; }
  # Debian's python3: its packages are Debian's.
  supervised 1500 "$out/clients.log" env "${server_env[@]}" TSEXT_HTTP_PORT="$http" TSEXT_UDP_PORT="$udp" TSEXT_NODE_MODULES="$modules" \
    /usr/bin/python3 test/clients/clients.py
  count_tap "clients" "$out/clients.log" $?
  wipe_server clients
}

layer_doc() {
  start_server doc || return
  supervised 1500 "$out/doc.log" env "${server_env[@]}" PATH="$bin:$PATH" python3 test/doc_examples.py
  count_tap "examples" "$out/doc.log" $?
  wipe_server doc
}

for layer in "${layers[@]}"; do
  if ! declare -F "layer_$layer" >/dev/null; then echo "unknown layer: $layer (known: ${all_layers[*]})" >&2; exit 2; fi
done
for layer in "${layers[@]}"; do
  layer_passed=0 layer_failed=0 started=$SECONDS
  echo "== $layer"
  case $layer in
    regress | isolation | tap | differential | clients | doc)
      if ! check "the extension builds" "${make_extension[@]}"; then
        total_failed=$((total_failed + layer_failed)); continue
      fi
      layer_passed=0 ;;   # counted in the layer "build"
  esac
  "layer_$layer"
  echo "   $layer: $layer_passed passed, $layer_failed failed, $((SECONDS - started)) s"
  total_passed=$((total_passed + layer_passed)) total_failed=$((total_failed + layer_failed))
done
status=0
[ "$total_failed" = 0 ] && [ "$total_passed" -gt 0 ] || status=1
servers_left=("${servers[@]}")
for name in "${servers_left[@]}"; do test/server.sh wipe "$name" 2>/dev/null; done
echo "$total_passed passed, $total_failed failed"
exit $status
