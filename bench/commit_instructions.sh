#!/usr/bin/env bash
# What following the writes of a table costs a commit of one row, in instructions: exact where times are lost in noise.
#
#   bench/commit_instructions.sh      needs valgrind
#
# A single-user backend under callgrind inserts rows, one a transaction, into a table that nothing follows and into one under an hourly
# aggregate, above the threshold and below it; twice each, with 200 and with 1,200 rows, so that the start of a session is not counted.
# Prints instructions a transaction. Makes and removes a private server.
set -euo pipefail
cd "$(dirname "$0")/.."
name=bench-instructions
out=$(mktemp -d)
trap 'rm -rf "$out"; test/server.sh wipe $name' EXIT
chmod 777 "$out"
printf '%s\n' "tsext.compact_background = off" "autovacuum = off" "checkpoint_timeout = 1h" >"$out/conf"
test/server.sh wipe $name
TSEXT_CONF=$out/conf test/server.sh start $name
test/server.sh psql $name -q -v ON_ERROR_STOP=1 <<'SQL'
SET client_min_messages = warning;
CREATE EXTENSION tsext;
CREATE TABLE unheeded (time timestamptz NOT NULL, host text, usage double precision, n bigint) USING tsext;
CREATE TABLE followed (LIKE unheeded) USING tsext;
INSERT INTO followed VALUES ('2024-01-31 23:30+00', 'host_0', 1, 1);
CREATE MATERIALIZED VIEW hourly WITH (tsext.continuous) AS SELECT time_bucket('1 hour', time) AS bucket, host, avg(usage), max(n) FROM followed GROUP BY 1, 2 WITH NO DATA;
CALL refresh_continuous_aggregate('hourly', NULL, '2024-02-01 00:00+00');
SQL

instructions() {   # instructions TABLE FIRST-TIME ROWS
  local bin data
  bin=$("${PG_CONFIG:-/usr/lib/postgresql/15/bin/pg_config}" --bindir)
  data=$(test/server.sh root)/servers/$name/data
  for ((i = 0; i < $3; i++)); do echo "INSERT INTO $1 VALUES ('$2+00'::timestamptz + interval '$i s', 'host_$((i % 10))', $((i % 100)).5, $i)"; done |
    test/server.sh as valgrind --tool=callgrind --callgrind-out-file="$out/callgrind" "$bin/postgres" --single -D "$data" postgres 2>&1 >/dev/null |
    tee "$out/log" | awk '/ Collected : / {print $4} /ERROR/ {exit 1}' || { cat "$out/log" >&2; exit 1; }
  rm -f "$out/callgrind"
}
per_transaction() { echo $((($(instructions "$1" "$2" 1200) - $(instructions "$1" "$2" 200)) / 1000)); }

test/server.sh stop $name
unheeded=$(per_transaction unheeded '2024-03-01 00:00')
above=$(per_transaction followed '2024-03-01 00:00')
below=$(per_transaction followed '2024-01-01 00:00')
test/server.sh start $name
rows=$(test/server.sh psql $name -qAt -c "SELECT (SELECT count(*) FROM unheeded), (SELECT count(*) FROM followed), (SELECT sum(rows) FROM tsext.cagg_log)")
[ "$rows" = "1400|2801|1400" ] || { echo "rows and logged rows are $rows" >&2; exit 1; }
awk -v a="$unheeded" -v b="$above" -v c="$below" 'BEGIN {
  printf "instructions of a commit of one row: %d; followed, above the threshold: %d (+%d, %.4f); below it: %d (+%d, %.4f)\n", a, b, b - a, b / a, c, c - a, c / a }'
