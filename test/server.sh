#!/usr/bin/env bash
# A private PostgreSQL server with the built extension, for trying things and for the tests.
#
#   test/server.sh start [NAME]   install into build/install, make a cluster build/servers/NAME if there is none, start it
#   test/server.sh stop  [NAME]   stop it (immediate after 20 s)
#   test/server.sh wipe  [NAME]   stop it and remove its files
#   test/server.sh env   [NAME]   print PGHOST, PGPORT, PGUSER … for: eval "$(test/server.sh env)"
#   test/server.sh psql  [NAME] [psql's arguments]
#
# The server runs as an ordinary user (root uses the account of TSEXT_USER, default postgres), listens on a Unix socket
# only, has its own data directory, preloads tsext and never touches an installed PostgreSQL: the extension is found
# through extension_destdir, which Debian's servers have. TSEXT_CONF: a file appended to postgresql.conf at creation.
set -euo pipefail
cd "$(dirname "$0")/.."
top=$PWD
command=${1:-start}; shift || true
name=default
if [ $# -gt 0 ] && [[ $1 != -* ]]; then name=$1; shift; fi
: "${PG_CONFIG:=pg_config}"
bin=$($PG_CONFIG --bindir)
pkglib=$($PG_CONFIG --pkglibdir)
dir=$top/build/servers/$name
data=$dir/data
socket=$(printf '/tmp/tsext-%s' "$(printf %s "$dir" | cksum | cut -d' ' -f1)")   # socket paths are limited to 107 bytes
port=54329

as_server() {   # runs a command as the server's user
  if [ "$(id -u)" = 0 ]; then setpriv --reuid="${TSEXT_USER:-postgres}" --regid="$(id -g "${TSEXT_USER:-postgres}")" --init-groups env HOME="$dir" "$@"
  else "$@"; fi
}

case $command in
start)
  make -s install DESTDIR="$top/build/install" >/dev/null
  mkdir -p "$dir" "$socket"
  if [ "$(id -u)" = 0 ]; then chown "${TSEXT_USER:-postgres}" "$dir" "$socket"; fi
  if [ ! -f "$data/PG_VERSION" ]; then
    as_server "$bin/initdb" -D "$data" -U postgres -A trust --no-sync -E UTF8 --locale=C.UTF-8 >"$dir/initdb.log" 2>&1 || { cat "$dir/initdb.log" >&2; exit 1; }
    as_server tee -a "$data/postgresql.conf" >/dev/null <<CONF
listen_addresses = ''
unix_socket_directories = '$socket'
port = $port
extension_destdir = '$top/build/install'
dynamic_library_path = '$top/build/install$pkglib:\$libdir'
shared_preload_libraries = '$top/build/install$pkglib/tsext'
max_worker_processes = 16
max_prepared_transactions = 10
log_min_messages = warning
CONF
    if [ -n "${TSEXT_CONF:-}" ]; then as_server tee -a "$data/postgresql.conf" <"$TSEXT_CONF" >/dev/null; fi
  fi
  if ! as_server "$bin/pg_ctl" -D "$data" status >/dev/null 2>&1; then
    as_server "$bin/pg_ctl" -D "$data" -l "$dir/log" -w -t 60 start >/dev/null || { tail -n 30 "$dir/log" >&2; exit 1; }
  fi
  ;;
stop)
  if [ -f "$data/postmaster.pid" ]; then
    as_server "$bin/pg_ctl" -D "$data" -m fast -t 20 stop >/dev/null 2>&1 || as_server "$bin/pg_ctl" -D "$data" -m immediate -t 20 stop >/dev/null || true
  fi
  ;;
wipe)
  "$0" stop "$name"; rm -rf "$dir" "$socket" ;;
env)
  echo "export PGHOST=$socket PGPORT=$port PGUSER=postgres PGDATABASE=postgres" ;;
psql)
  PGHOST=$socket PGPORT=$port PGUSER=postgres exec "$bin/psql" -X -d postgres "$@" ;;
*)
  sed -n '2,9p' "$0"; exit 2 ;;
esac
