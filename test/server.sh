#!/usr/bin/env bash
# A private PostgreSQL server with the built extension, for trying things, the tests, the demo and the benchmarks.
#
#   test/server.sh start [NAME]   install into build/install, make a cluster build/servers/NAME if there is none, start it
#   test/server.sh stop  [NAME]   stop it (immediate after 60 s)
#   test/server.sh wipe  [NAME]   stop it and remove its files
#   test/server.sh clean          wipe all servers and remove what was staged outside build/
#   test/server.sh env   [NAME]   print PGHOST, PGPORT, PGUSER … for: eval "$(test/server.sh env)"
#   test/server.sh psql  [NAME] [psql's arguments]
#   test/server.sh root           print the directory that holds install/ and servers/ (build/, or a staged one)
#   test/server.sh conf           print the lines of postgresql.conf that make a cluster find the extension
#   test/server.sh as CMD…        run a command as the server's user
#
# The server runs as an ordinary user: whoever calls, or for root the account TSEXT_USER (default postgres). Where that
# account cannot reach build/, a fresh directory under TMPDIR takes its place; build/stage then holds its name. A server
# listens on a Unix socket only, unless TSEXT_LISTEN=1 asks for a free port on 127.0.0.1 as well; it has its own data
# directory, preloads tsext and never touches an installed PostgreSQL: the extension is found through extension_destdir,
# which Debian's servers have. TSEXT_CONF: a file appended to postgresql.conf when the cluster is made.
set -euo pipefail
umask 022
command=${1:-start}; shift || true
here=$PWD
cd "$(dirname "$0")/.."
top=$PWD
name=default
if [ "$command" != as ] && [ $# -gt 0 ] && [[ $1 != -* ]]; then name=$1; shift; fi
if [ -z "${PG_CONFIG:-}" ]; then
  PG_CONFIG=/usr/lib/postgresql/15/bin/pg_config
  [ -x $PG_CONFIG ] || PG_CONFIG=pg_config
fi
export PG_CONFIG
bin=$($PG_CONFIG --bindir)
pkglib=$($PG_CONFIG --pkglibdir)
account=${TSEXT_USER:-postgres}

as_server() {   # runs a command as the server's user
  if [ "$(id -u)" = 0 ]; then
    setpriv --reuid="$account" --regid="$(id -g "$account")" --init-groups env HOME=/nonexistent USER="$account" LOGNAME="$account" "$@"
  else "$@"; fi
}
give() { if [ "$(id -u)" = 0 ]; then chown "$account" "$@"; fi; }

mkdir -p build
root=$top/build
if [ "$(id -u)" = 0 ] && [ "$command" != as ]; then
  if [ -f build/stage ]; then root=$(cat build/stage)
  elif ! as_server test -x "$top/build" -a -r "$top/build"; then
    parent=${TMPDIR:-/tmp}
    as_server test -x "$parent" || parent=/tmp
    root=$(mktemp -d "$parent/tsext-XXXXXX")
    chmod 755 "$root"
    echo "$root" >build/stage
  fi
  mkdir -p "$root"
fi
dir=$root/servers/$name
data=$dir/data

print_conf() {
  cat <<CONF
extension_destdir = '$root/install'
dynamic_library_path = '$root/install$pkglib:\$libdir'
shared_preload_libraries = '$root/install$pkglib/tsext'
CONF
}

# Below the ports that the kernel gives to whoever connects.
first_free_port() {
  local port
  for ((port = 24330; port < 24430; port++)); do
    if ! (exec 3<>/dev/tcp/127.0.0.1/$port) 2>/dev/null; then echo $port; return; fi
  done
  echo "no free port between 24330 and 24429" >&2
  return 1
}

# A postmaster that was killed leaves its lock file behind; only a live process of this data directory counts.
is_running() { [ -f "$data/postmaster.pid" ] && as_server "$bin/pg_ctl" -D "$data" status >/dev/null 2>&1; }

stop_server() {
  is_running || return 0
  as_server "$bin/pg_ctl" -D "$data" -m fast -t 60 stop >/dev/null 2>&1 ||
    as_server "$bin/pg_ctl" -D "$data" -m immediate -t 60 stop >/dev/null 2>&1 || true
  if is_running; then echo "server \"$name\" did not stop; see $dir/log" >&2; return 1; fi
}

wipe_server() {
  stop_server
  if [ -f "$dir/socket" ]; then rm -rf "$(cat "$dir/socket")"; fi
  rm -rf "$dir"
}

case $command in
start)
  make -s install DESTDIR="$root/install" >/dev/null
  mkdir -p "$dir"
  give "$dir"
  [ -f "$dir/socket" ] || mktemp -d /tmp/tsext-socket-XXXXXX >"$dir/socket"   # paths of sockets are limited to 107 bytes
  socket=$(cat "$dir/socket")
  mkdir -p "$socket"
  give "$socket"
  [ -f "$dir/port" ] || if [ -n "${TSEXT_LISTEN:-}" ]; then first_free_port >"$dir/port"; else echo 54329 >"$dir/port"; fi
  if [ ! -f "$data/PG_VERSION" ]; then
    as_server "$bin/initdb" -D "$data" -U postgres -A trust --no-sync -E UTF8 --locale=C.UTF-8 >"$dir/initdb.log" 2>&1 || { cat "$dir/initdb.log" >&2; exit 1; }
    { cat <<CONF
listen_addresses = '${TSEXT_LISTEN:+127.0.0.1}'
unix_socket_directories = '$socket'
port = $(cat "$dir/port")
max_worker_processes = 16
max_prepared_transactions = 10
log_min_messages = warning
CONF
      print_conf
      if [ -n "${TSEXT_CONF:-}" ]; then cat "$TSEXT_CONF"; fi
    } | as_server tee -a "$data/postgresql.conf" >/dev/null
  fi
  if ! is_running; then
    as_server "$bin/pg_ctl" -D "$data" -l "$dir/log" -w -t 300 start >/dev/null || { tail -n 30 "$dir/log" >&2; exit 1; }
  fi
  ;;
stop) stop_server ;;
wipe) wipe_server ;;
clean)
  for dir in "$root"/servers/*; do
    [ -d "$dir" ] || continue
    data=$dir/data name=$(basename "$dir")
    wipe_server
  done
  if [ -f build/stage ]; then rm -rf "$root" build/stage; fi
  ;;
env)
  echo "export PGHOST=$(cat "$dir/socket") PGPORT=$(cat "$dir/port") PGUSER=postgres PGDATABASE=postgres" ;;
psql)
  PGHOST=$(cat "$dir/socket") PGPORT=$(cat "$dir/port") PGUSER=postgres exec "$bin/psql" -X -d "${PGDATABASE:-postgres}" "$@" ;;
root) echo "$root" ;;
conf) print_conf ;;
as) cd "$here"; as_server "$@" ;;
*) sed -n '2,19p' "$0"; exit 2 ;;
esac
