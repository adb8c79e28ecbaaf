#!/usr/bin/env bash
# Sends 1 GiB to the service and reads it back, to a folder and to S3 (moto's server), and prints the most memory that the
# process has held. Fails from 100 MiB on. upload_memory.sh [MIB]; CONVOKE_BIN names another binary than the release build.
export CONVOKE_BIN="${CONVOKE_BIN:-${CARGO_TARGET_DIR:-target}/release/convoke}"
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

mib="${1:-1024}"
limit=100
[[ -x "$CONVOKE_BIN" ]] || die "$CONVOKE_BIN is missing: cargo build --release"
MOTO=""
stop_moto() { [[ -z "$MOTO" ]] || kill "$MOTO" 2>/dev/null || true; }
trap 'status=$?; set +e; stop_moto; stop_everything; exit $status' EXIT

text() { yes 'All work and no play makes a dull file.' | head -c "$((mib << 20))" || true; }

# measure NAME [VARIABLE=VALUE…]: one service, one file there and back.
measure() {
  local name="$1" data="$SCRATCH/$1" log="$SCRATCH/$1.log" pid base api token event attachment sum peak
  shift
  mkdir -p "$data"
  env -i PATH="$PATH" CONVOKE_LISTEN=127.0.0.1:0 CONVOKE_OPS_LISTEN=127.0.0.1:0 CONVOKE_DATA_DIR="$data" \
    CONVOKE_LOG_FORMAT=json CONVOKE_ATTACHMENTS_MAX_SIZE=8GiB CONVOKE_ATTACHMENTS_EVENT_QUOTA=16GiB \
    CONVOKE_ATTACHMENTS_USER_QUOTA=16GiB CONVOKE_PASSWORD_HASH_MEMORY=7168 "$@" \
    "$CONVOKE_BIN" serve >"$log" 2>&1 &
  pid=$!
  STARTED+=("$pid")
  listening() { grep -q '"listener":"public"' "$log"; }
  wait_until 30 listening || { cat "$log" >&2; die "the service does not start"; }
  base="http://$(jq -Rr 'fromjson? | select(.message == "listening" and .listener == "public") | .address' "$log")"
  api="$base/api/v1"
  json() { curl -sS --fail-with-body -H 'content-type: application/json' "$@"; }
  json "$api/auth/register" -d '{"email":"a@example.org","password":"correct horse battery","display_name":"A"}' >/dev/null
  token=$(json "$api/auth/login" -d '{"email":"a@example.org","password":"correct horse battery"}' | jq -r .access_token)
  event=$(json "$api/events/" -H "authorization: Bearer $token" -d '{"title":"E","start":{"date":"2030-01-01"},"end":{"date":"2030-01-02"}}' | jq -r .id)
  local began=$SECONDS sent
  attachment=$(text | curl -sS --fail-with-body -X POST -T - "$api/events/$event/attachments/" \
    -H "authorization: Bearer $token" -H 'content-type: text/plain')
  sent=$((SECONDS - began))
  [[ "$(jq -r .size <<<"$attachment")" == $((mib << 20)) ]] || die "$attachment"
  began=$SECONDS
  sum=$(curl -sS --fail "$api/events/$event/attachments/$(jq -r .id <<<"$attachment")/content" \
    -H "authorization: Bearer $token" | sha256sum | cut -d' ' -f1)
  [[ "$sum" == "$(jq -r .sha256 <<<"$attachment")" ]] || die "what came back is not what was sent"
  peak=$(($(awk '/^VmHWM:/ {print $2}' "/proc/$pid/status") / 1024))
  printf '%s: %s MiB sent in %s s, read back whole in %s s; at most %s MiB of memory\n' "$name" "$mib" "$sent" "$((SECONDS - began))" "$peak"
  stop_convoke "$pid"
  ((peak < limit)) || die "$peak MiB is not below $limit MiB"
}

measure folder
port=$(free_port)
.venv/bin/moto_server -H 127.0.0.1 -p "$port" >/dev/null 2>&1 &
MOTO=$!
answers() { curl -sf -o /dev/null "http://127.0.0.1:$port/moto-api/"; }
wait_until 60 answers || die "moto_server does not start: run tests/install.sh"
curl -sS -f -o /dev/null -X PUT "http://127.0.0.1:$port/files"
# It puts the parts together in one go, which takes it a while.
measure s3 CONVOKE_STORAGE_TIMEOUT=5m CONVOKE_STORAGE_URL=s3://files CONVOKE_STORAGE_S3_ENDPOINT="http://127.0.0.1:$port" \
  CONVOKE_STORAGE_S3_ACCESS_KEY_ID=test CONVOKE_STORAGE_S3_SECRET_ACCESS_KEY=test
