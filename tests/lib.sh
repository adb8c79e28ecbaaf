# Shared by the scripts beside it: a scratch folder, a throwaway PostgreSQL and the service itself,
# each started here and each stopped, by pid, when the script ends. Source it; do not run it.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

TARGET_DIR="${CARGO_TARGET_DIR:-target}"
CONVOKE_BIN="${CONVOKE_BIN:-$TARGET_DIR/debug/convoke}"
SCRATCH="$(mktemp -d "${TMPDIR:-/tmp}/convoke-test.XXXXXX")"
chmod 755 "$SCRATCH"
STARTED=()      # pids of services
PG_FOLDERS=()   # data folders of clusters

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

# Runs at the end of every script, however it ends.
stop_everything() {
  local pid folder
  for pid in "${STARTED[@]:-}"; do
    [[ -n "$pid" ]] && stop_convoke "$pid"
  done
  for folder in "${PG_FOLDERS[@]:-}"; do
    [[ -n "$folder" ]] && as_postgres "$PG_BIN/pg_ctl" -D "$folder" -m immediate -w stop >/dev/null 2>&1
  done
  rm -rf "$SCRATCH"
}
trap 'status=$?; set +e; stop_everything; exit $status' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# wait_until SECONDS COMMAND…: polls the command; false when the limit passes.
wait_until() {
  local limit=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < limit)) || return 1
    sleep 0.05
  done
}

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# The newest server binaries that Debian's packages, or PATH, have.
find_postgres() {
  PG_BIN="$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)"
  [[ -x "$PG_BIN/initdb" ]] || PG_BIN="$(dirname "$(command -v initdb || true)")"
  [[ -x "$PG_BIN/initdb" && -x "$PG_BIN/postgres" ]] ||
    die "PostgreSQL's server binaries are missing; on Debian: apt-get install postgresql"
}

# PostgreSQL refuses to run as root: as root, this drops to the user that Debian's package makes.
as_postgres() {
  if [[ "$(id -u)" == 0 ]]; then
    setpriv --reuid=postgres --regid=postgres --init-groups -- "$@"
  else
    "$@"
  fi
}

# start_postgres: a throwaway cluster on a free loopback port; sets PG_URL.
start_postgres() {
  find_postgres
  local folder="$SCRATCH/postgres-$RANDOM" port
  mkdir "$folder"
  [[ "$(id -u)" != 0 ]] || chown postgres: "$folder"
  (cd / && as_postgres "$PG_BIN/initdb" --auth=trust --no-sync --username=postgres \
    --encoding=UTF8 --locale=C.UTF-8 -D "$folder" >"$SCRATCH/initdb.log" 2>&1) ||
    { cat "$SCRATCH/initdb.log" >&2; die "initdb failed"; }
  port="$(free_port)"
  PG_FOLDERS+=("$folder")
  (cd / && as_postgres "$PG_BIN/pg_ctl" -D "$folder" -l "$folder/server.log" -w -t 60 \
    -o "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c max_connections=300" \
    start >/dev/null) || { cat "$folder/server.log" >&2; die "PostgreSQL did not start"; }
  PG_URL="postgres://postgres@127.0.0.1:$port/postgres"
  say "$("$PG_BIN/postgres" --version) on 127.0.0.1:$port"
}

# The address that a listener logged: listening LOG public|ops
logged_address() {
  jq -rR --arg listener "$2" \
    'fromjson? | select(.message == "listening" and .listener == $listener) | .address' "$1" | tail -1
}

is_listening() {
  [[ -n "$(logged_address "$1" public)" && -n "$(logged_address "$1" ops)" ]] || ! kill -0 "$2" 2>/dev/null
}

# start_convoke ENGINE [NAME=VALUE…]: the service on a fresh database and free ports, nothing inherited
# from the caller's environment; sets CONVOKE_URL, CONVOKE_OPS_URL, CONVOKE_PID, SERVICE_LOG and
# CONVOKE_SETTINGS (to run another command of the binary on the same data).
start_convoke() {
  local engine="$1" data="$SCRATCH/data-$RANDOM" url
  shift
  [[ -x "$CONVOKE_BIN" ]] || die "$CONVOKE_BIN is missing; run: cargo build"
  mkdir "$data"
  case "$engine" in
    sqlite) url="sqlite://$data/convoke.db" ;;
    postgres) start_postgres; url="$PG_URL" ;;
    *) die "the engine is sqlite or postgres, not '$engine'" ;;
  esac
  CONVOKE_SETTINGS=(PATH="$PATH" CONVOKE_DATA_DIR="$data" CONVOKE_DATABASE_URL="$url"
    CONVOKE_SECRET_KEY=a-fixed-key-for-tests-which-is-long-enough-0123456789 CONVOKE_LOG_FORMAT=json
    CONVOKE_LISTEN=127.0.0.1:0 CONVOKE_OPS_LISTEN=127.0.0.1:0 "$@")
  SERVICE_LOG="$data/log.jsonl"
  env -i "${CONVOKE_SETTINGS[@]}" "$CONVOKE_BIN" serve >"$SERVICE_LOG" 2>&1 &
  CONVOKE_PID=$!
  STARTED+=("$CONVOKE_PID")
  wait_until 60 is_listening "$SERVICE_LOG" "$CONVOKE_PID" || say "convoke did not listen within 60 s"
  CONVOKE_URL="http://$(logged_address "$SERVICE_LOG" public)"
  CONVOKE_OPS_URL="http://$(logged_address "$SERVICE_LOG" ops)"
  if ! wait_until 30 curl -fsS -o /dev/null "$CONVOKE_OPS_URL/readyz" 2>/dev/null; then
    cat "$SERVICE_LOG" >&2
    die "convoke did not become ready"
  fi
}

has_ended() { ! kill -0 "$1" 2>/dev/null; }

# stop_convoke PID: politely, and after 20 s not.
stop_convoke() {
  kill -TERM "$1" 2>/dev/null || return 0
  wait_until 20 has_ended "$1" || kill -KILL "$1" 2>/dev/null || true
  wait "$1" 2>/dev/null || true
}
