#!/usr/bin/env bash
# A full disk during COPY, compaction, merge and decompression, in a small tablespace, then in pg_wal: the error is 53100 (or the
# server stops, as PostgreSQL does when it cannot write WAL), nothing is lost, and everything works again when there is space.
#
#   test/by_hand/disk_full.sh       as root: it mounts two small tmpfs
#
# Prints TAP lines; exits with 1 when a case failed.
set -euo pipefail
cd "$(dirname "$0")/../.."
[ "$(id -u)" = 0 ] || { echo "run it as root: it mounts a small file system" >&2; exit 2; }
server=disk_full
account=${TSEXT_USER:-postgres}
full='^ERROR:  53100: could not extend file .*No space left on device'
mounts=() cases=0 failures=0

clean_up() {
  local status=$? directory
  test/server.sh wipe $server >/dev/null 2>&1 || true
  for directory in "${mounts[@]}"; do umount "$directory" && rmdir "$directory"; done
  exit $status
}
trap clean_up EXIT
trap 'exit 130' INT TERM HUP

mount_small() {   # mount_small SIZE: prints nothing, sets $mounted
  mounted=$(mktemp -d /tmp/tsext-small-XXXXXX)
  mount -t tmpfs -o "size=$1,mode=700,uid=$(id -u "$account"),gid=$(id -g "$account")" tsext-small "$mounted"
  mounts+=("$mounted")
}
fill() {          # fill DIRECTORY KILOBYTES: leaves so much space
  local free
  free=$(df --output=avail -k "$1" | tail -n 1)
  if [ "$free" -gt "$2" ]; then head -c "$(((free - $2) * 1024))" /dev/zero >"$1/filler" 2>/dev/null || true; fi
}
run() { test/server.sh psql $server -qAt -v ON_ERROR_STOP=1 -v VERBOSITY=verbose "$@" 2>&1; }
is() {            # is NAME GOT WANTED
  cases=$((cases + 1))
  if [ "$2" = "$3" ]; then echo "ok $cases - $1"; return; fi
  failures=$((failures + 1))
  echo "not ok $cases - $1"
  echo "# got:    $2"
  echo "# wanted: $3"
}
like() {          # like NAME TEXT PATTERN
  cases=$((cases + 1))
  if grep -qE "$3" <<<"$2"; then echo "ok $cases - $1: $(grep -E "$3" <<<"$2" | head -n 1)"; return; fi
  failures=$((failures + 1))
  echo "not ok $cases - $1"
  echo "# got: $2"
}
complete() {      # complete NAME: the table holds what its twin holds
  is "$1: every row is there, once" "$(run -c "SELECT count(*) FROM ((TABLE t EXCEPT ALL TABLE twin) UNION ALL (TABLE twin EXCEPT ALL TABLE t)) d")" 0
  is "$1: tsext.verify() finds nothing" "$(run -c "SELECT count(*) FROM tsext.verify('t')")" 0
}
sound() {         # sound NAME: … and vacuum leaves no orphan; there is space for it
  complete "$1"
  run -c 'VACUUM t' -c 'VACUUM tsext.segment' >/dev/null
  is "$1: vacuum took every orphan" "$(run -c "SELECT count(*) FROM $toast c WHERE NOT EXISTS
    (SELECT FROM tsext.segment s WHERE s.store = '$toast'::regclass AND s.valueid = c.chunk_id)")" 0
}
rows() {          # rows FROM TO: a query for such rows
  echo "SELECT '2024-01-01 00:00+00'::timestamptz + g * interval '1 s' AS time, 'host_' || g % 5 AS host, g AS v, md5(g::text) AS note FROM generate_series($1, $2) g"
}

cat >build/disk_full.conf <<CONF
tsext.compact_background = off
autovacuum = off
wal_keep_size = 0
checkpoint_timeout = 1h
max_wal_size = 1GB
wal_recycle = off
CONF
test/server.sh wipe $server
TSEXT_CONF=$PWD/build/disk_full.conf test/server.sh start $server
data=$(test/server.sh root)/servers/$server/data

# ---- A small tablespace
mount_small 24m
small=$mounted
mkdir "$small/space"
chown "$account" "$small/space"
run -c 'CREATE EXTENSION tsext' -c "CREATE TABLESPACE small LOCATION '$small/space'" \
  -c "CREATE TABLE t (time timestamptz NOT NULL, host text, v int, note text) USING tsext WITH (tsext.chunk_interval = '1 hour') TABLESPACE small" \
  -c "CREATE TABLE twin (LIKE t)" >/dev/null
toast=$(run -c "SELECT reltoastrelid::regclass FROM pg_class WHERE oid = 't'::regclass")
run -c "INSERT INTO t $(rows 1 20000)" -c "INSERT INTO twin $(rows 1 20000)"
sound "before"

run -c "COPY ($(rows 100001 1500000)) TO '$data/rows'"
like "COPY into many chunks" "$(run -c "SET tsext.bulk_memory = '1MB'" -c "COPY t FROM '$data/rows'" || true)" "$full"
run -c 'VACUUM (TRUNCATE) t' -c "VACUUM (TRUNCATE) $toast"
sound "COPY into many chunks"
like "COPY" "$(run -c "COPY t FROM '$data/rows'" || true)" "$full"
run -c 'VACUUM (TRUNCATE) t' -c "VACUUM (TRUNCATE) $toast"
sound "COPY"
run -c "COPY ($(rows 100001 150000)) TO '$data/rows'"
run -c "COPY t FROM '$data/rows'" -c "COPY twin FROM '$data/rows'"
sound "COPY, with space again"

like "row inserts" "$(run -c 'SET tsext.enable_bulk = off' -c "INSERT INTO t $(rows 2000001 2500000)" || true)" "$full"
run -c "VACUUM (TRUNCATE) t"
sound "row inserts"
run -c 'SET tsext.enable_bulk = off' -c "INSERT INTO t $(rows 200001 240000)" -c "INSERT INTO twin $(rows 200001 240000)"
# The free space map would offer what the failed load left.
run -c 'VACUUM FULL t'
fill "$small" 256
like "compact" "$(run -c "SELECT tsext.compact('t', level => 'hot')" || true)" "$full"
complete "compact"
rm "$small/filler"
sound "compact"
is "compact, with space again" "$(run -c "SELECT rows_moved > 0 FROM tsext.compact('t', level => 'hot')")" t
is "compact, with space again: nothing is hot" "$(run -c "SELECT count(*) - (SELECT sum(nrows) FROM tsext.segment WHERE store = '$toast'::regclass) FROM t")" 0
sound "compact, with space again"

run -c "SELECT tsext.compact('t', level => 'hot')" -c 'VACUUM FULL t' >/dev/null
fill "$small" 64
like "merge to COLD" "$(run -c "SELECT tsext.compact('t', level => 'cold')" || true)" "$full"
complete "merge to COLD"
like "decompress" "$(run -c "SELECT decompress_chunk(c) FROM show_chunks('t') c" || true)" "$full"
complete "decompress"
is "drop_chunks works on a full disk" "$(run -c "SELECT count(*) FROM drop_chunks('t', older_than => '2024-01-01 01:00+00'::timestamptz)")" 1
run -c "DELETE FROM twin WHERE time < '2024-01-01 01:00+00'"
complete "drop_chunks"
rm "$small/filler"
sound "drop_chunks"
is "merge to COLD, with space again" "$(run -c "SELECT segments_merged > 0 FROM tsext.compact('t', level => 'cold')")" t
sound "merge to COLD, with space again"
is "decompress, with space again" "$(run -c "SELECT count(decompress_chunk(c)) > 0 FROM (SELECT c FROM show_chunks('t') c LIMIT 2) s")" t
sound "decompress, with space again"

# ---- A small pg_wal: PostgreSQL stops when it cannot write WAL
run -c 'ALTER TABLE t SET TABLESPACE pg_default'
toast=$(run -c "SELECT reltoastrelid::regclass FROM pg_class WHERE oid = 't'::regclass")
test/server.sh stop $server
mount_small 80m
wal=$mounted
mkdir "$wal/pg_wal"
cp -a "$data/pg_wal/." "$wal/pg_wal/"
rm -r "$data/pg_wal"
ln -s "$wal/pg_wal" "$data/pg_wal"
chown -R "$account" "$wal/pg_wal"
for step in COPY compact merge; do
  test/server.sh start $server
  run -c 'SET tsext.enable_bulk = off' -c "INSERT INTO t $(rows 300001 310000)" -c "INSERT INTO twin $(rows 300001 310000)" -c 'CHECKPOINT'
  case $step in
    COPY) run -c "COPY ($(rows 400001 1900000)) TO '$data/rows'"
          statement="COPY t FROM '$data/rows'" ;;
    compact) statement="SELECT tsext.compact('t')" ;;
    merge) run -c "SELECT tsext.compact('t', level => 'hot')" -c CHECKPOINT >/dev/null
           statement="SELECT tsext.compact('t', level => 'cold')" ;;
  esac
  # Some 64 kB are left in the WAL file in use, and there is no room for another one.
  run -c CHECKPOINT -c 'SELECT pg_switch_wal()' -c "SELECT pg_logical_emit_message(false, '', repeat('x', 1000000)) FROM generate_series(1, 16)" \
    -c "SELECT pg_logical_emit_message(false, '', repeat('x', (16777216 - (pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0') % 16777216) - 65536)::int))" >/dev/null
  fill "$wal" 0
  lines=$(wc -l <"$(dirname "$data")/log")
  answer=$(run -c "$statement" || true)
  like "pg_wal full, $step" "$answer" 'PANIC|53100.*pg_wal|server closed the connection|terminating connection'
  like "pg_wal full, $step: the log says why" "$(tail -n +$lines "$(dirname "$data")/log")" '(PANIC|FATAL|ERROR): .*pg_wal.*No space left on device'
  rm -f "$wal/filler"
  test/server.sh stop $server
  test/server.sh start $server
  # COPY is one transaction: all or nothing. Compaction changes no row.
  sound "pg_wal with space again, $step"
  is "pg_wal with space again, $step: new rows" "$(run -c "INSERT INTO t $(rows 500001 500010)" -c "INSERT INTO twin $(rows 500001 500010)" -c "SELECT tsext.compact('t') IS NOT NULL")" t
  sound "pg_wal with space again, $step: new rows"
done
echo "1..$cases"
[ $failures = 0 ]
