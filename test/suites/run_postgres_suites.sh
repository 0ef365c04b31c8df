#!/usr/bin/env bash
# PostgreSQL's own regression and isolation suites, on tables of tsext, and on heap for comparison. By hand; see README.md.
#
#   test/suites/run_postgres_suites.sh SOURCE [ACCESS_METHOD] [regress|isolation|all]
#
# SOURCE: PostgreSQL's source tree, of the server's major version (apt-get source postgresql-15); it is only read.
# ACCESS_METHOD: tsext (default) or heap. Works under build/suites/ACCESS_METHOD; results and regression.diffs stay there.
# Rows stay hot, as the suites expect of a heap; with TSEXT_BULK=on loads of 4,096 rows and more are compressed, which changes
# plans, row order and what UPDATE and DELETE can do: then look for crashes and wrong rows.
# Prints the failed tests and "regress: N of M passed"; the exit code says only whether the server survived.
set -euo pipefail
source_tree=$(realpath "$1") access_method=${2:-tsext} which=${3:-all}
cd "$(dirname "$0")/../.."
: "${PG_CONFIG:=pg_config}"
export PG_CONFIG
bin=$($PG_CONFIG --bindir)
pgxs=$(dirname "$(dirname "$($PG_CONFIG --pgxs)")")
work=$PWD/build/suites/$access_method server=suites-$access_method
rm -rf "$work"
mkdir -p "$work/regress" "$work/isolation" "$work/tablespace"
run_as=() owner=$(id -un)
if [ "$(id -u)" = 0 ]; then
  owner=${TSEXT_USER:-postgres}
  run_as=(setpriv --reuid="$owner" --regid="$(id -g "$owner")" --init-groups env HOME="$work")
fi

cp -r "$source_tree"/src/test/regress/{sql,expected,data,resultmap,parallel_schedule} "$work/regress"
cp "$source_tree"/src/test/regress/regress.c "$work/regress"
cp -r "$source_tree"/src/test/isolation/{specs,expected,isolation_schedule} "$work/isolation"
printf 'MODULES = regress\nPGXS := $(shell $(PG_CONFIG) --pgxs)\ninclude $(PGXS)\n' >"$work/regress/Makefile"
make -s -C "$work/regress" with_llvm=no >/dev/null
mkdir "$work/lib"                                          # the tests look for their libraries in one place
cp "$work/regress/regress.so" "$($PG_CONFIG --pkglibdir)"/{autoinc,refint}.so "$work/lib"
chmod a+rX build "$work/.."; chown -R "$owner" "$work"

cat >"$work/server.conf" <<CONF
fsync = off
autovacuum = on
tsext.compact_background = off
tsext.enable_bulk = ${TSEXT_BULK:-off}
tsext.enable_scan = ${TSEXT_BULK:-off}
tsext.enable_aggregate = ${TSEXT_BULK:-off}
max_prepared_transactions = 10
track_io_timing = on
shared_buffers = 128MB
CONF
trap 'test/server.sh wipe "$server"' EXIT
test/server.sh wipe "$server"
TSEXT_CONF=$work/server.conf test/server.sh start "$server"
eval "$(test/server.sh env "$server")"

make_database() {
  "$bin/psql" -Xq -v ON_ERROR_STOP=1 -d postgres <<SQL
CREATE DATABASE $1 TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C';
ALTER DATABASE $1 SET lc_messages = 'C';
ALTER DATABASE $1 SET lc_monetary = 'C';
ALTER DATABASE $1 SET lc_numeric = 'C';
ALTER DATABASE $1 SET lc_time = 'C';
ALTER DATABASE $1 SET bytea_output = 'hex';
ALTER DATABASE $1 SET timezone_abbreviations = 'Default';
ALTER DATABASE $1 SET statement_timeout = '60s';
ALTER DATABASE $1 SET compute_query_id = 'off';
\c $1
CREATE SCHEMA tsext_functions;
CREATE EXTENSION tsext SCHEMA tsext_functions;
ALTER DATABASE $1 SET default_table_access_method = $access_method;
SQL
}

report() {   # report NAME LOG
  grep -E '(FAILED|failed)' "$2" | grep -vE '^ [0-9]+ of |^===' || true
  local all bad
  all=$(grep -cE '\.\.\. +(ok|FAILED)|^(test|     ).* (ok|FAILED) +[0-9]+ ms' "$2" || true)
  bad=$(grep -cE 'FAILED +[0-9]+ ms|FAILED \(' "$2" || true)
  echo "$1 ($access_method): $((all - bad)) of $all passed; see ${work#"$PWD"/}/$1/regression.diffs"
}

if [ "$which" != isolation ]; then
  make_database regression
  (cd "$work/regress" && PG_ABS_SRCDIR=$work/regress timeout 1500 "${run_as[@]}" "$pgxs/test/regress/pg_regress" --use-existing \
    --bindir="$bin" --inputdir="$work/regress" --outputdir="$work/regress" --dlpath="$work/lib" --host="$PGHOST" \
    --port="$PGPORT" --user=postgres --dbname=regression --max-connections=8 --schedule=parallel_schedule) \
    >"$work/regress/log" 2>&1 || true
  report regress "$work/regress/log"
fi
# A crash leaves the server in recovery for a moment.
for ((i = 0; i < 60; i++)); do "$bin/psql" -Xq -d postgres -c "" 2>/dev/null && break; sleep 1; done
if [ "$which" != regress ]; then
  make_database isolation_regression
  (cd "$work/isolation" && timeout 1500 "${run_as[@]}" "$pgxs/test/isolation/pg_isolation_regress" --use-existing \
    --bindir="$pgxs/test/isolation" --inputdir="$work/isolation" --outputdir="$work/isolation" --host="$PGHOST" \
    --port="$PGPORT" --user=postgres --dbname=isolation_regression --schedule=isolation_schedule) \
    >"$work/isolation/log" 2>&1 || true
  report isolation "$work/isolation/log"
fi
cp "$(test/server.sh root)/servers/$server/log" "$work/server.log"
if grep -E 'PANIC|was terminated by signal|TRAP:' "$work/server.log"; then echo "the server crashed"; exit 1; fi
