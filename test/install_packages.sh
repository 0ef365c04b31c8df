#!/usr/bin/env bash
# Installs the Debian packages that are missing, and only those; needs root or sudo when there are any.
#
#   test/install_packages.sh [build] [test] [clients] [demo] [bench]      default: build
#
# No PostgreSQL cluster is created and no service is started: the tests and the demo make their own under build/.
set -euo pipefail
build=(make g++ postgresql-15 postgresql-server-dev-15 libzstd-dev libmicrohttpd-dev zlib1g-dev)
test=("${build[@]}" clang-14 clang-format-14 clang-tidy-14 libclang-rt-14-dev cmake libgtest-dev
      libbenchmark-dev libipc-run-perl perl python3 util-linux)
clients=("${build[@]}" collectd-core influxdb-client python3 python3-influxdb python3-psycopg python3-psycopg2)
demo=("${build[@]}" curl netcat-openbsd python3)
bench=("${build[@]}" cmake libbenchmark-dev libgtest-dev python3 influxdb)

wanted=()
for group in "${@:-build}"; do
  case $group in
    build) wanted+=("${build[@]}") ;;
    test) wanted+=("${test[@]}") ;;
    clients)
      wanted+=("${clients[@]}")
      command -v npm >/dev/null || wanted+=(nodejs npm) ;;
    demo) wanted+=("${demo[@]}") ;;
    bench)
      wanted+=("${bench[@]}")
      command -v npm >/dev/null || wanted+=(nodejs npm) ;;   # another node brings its own npm
    *) echo "unknown group of packages: $group" >&2; exit 2 ;;
  esac
done

missing() {
  local package
  for package in "${wanted[@]}"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok installed' || echo "$package"
  done | sort -u
}

mapfile -t packages < <(missing)
[ ${#packages[@]} -gt 0 ] || exit 0
echo "installing Debian packages: ${packages[*]}"
if [ "$(id -u)" = 0 ]; then as_root=()
elif command -v sudo >/dev/null; then as_root=(sudo)
else echo "these packages are missing and neither root nor sudo is here: ${packages[*]}" >&2; exit 1; fi

run_apt() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -y -q -o Dpkg::Use-Pty=0 -o Acquire::Retries=5 -o DPkg::Lock::Timeout=300 \
    -o Dpkg::Options::=--force-confold "$@"
}
# The package lists may be absent (a fresh container) or older than what the mirror still has.
install_all() { run_apt install --no-install-recommends "$@"; }

# The server's package creates and starts a cluster "main" when it is first installed; we want none.
if ! dpkg-query -W -f '${Status}' postgresql-15 2>/dev/null | grep -q '^install ok installed'; then
  if ! dpkg-query -W -f '${Status}' postgresql-common 2>/dev/null | grep -q '^install ok installed'; then
    install_all postgresql-common || { run_apt update && install_all postgresql-common; }
  fi
  conf=/etc/postgresql-common/createcluster.conf
  mark='create_main_cluster = false  # while tsext installs its packages'
  if [ -f $conf ]; then
    echo "$mark" | "${as_root[@]}" tee -a $conf >/dev/null
    trap '"${as_root[@]}" sed -i "/# while tsext installs its packages/d" '$conf EXIT
  fi
fi
# Debian's packages of services start them (influxdb), unless this says no.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
  trap '"${as_root[@]}" rm -f '$policy'; [ -z "${conf:-}" ] || "${as_root[@]}" sed -i "/# while tsext installs its packages/d" "$conf"' EXIT
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee $policy >/dev/null
  "${as_root[@]}" chmod 755 $policy
fi
install_all "${packages[@]}" || { run_apt update && install_all "${packages[@]}"; }
