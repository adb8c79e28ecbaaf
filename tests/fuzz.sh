#!/usr/bin/env bash
# Schemathesis against a freshly started service: tests/fuzz.sh sqlite|postgres [MAX_EXAMPLES]
# What is tuned, and why, stands in tests/schemathesis.toml.
source "$(dirname "$0")/lib.sh"

engine="${1:?usage: tests/fuzz.sh sqlite|postgres [MAX_EXAMPLES]}"
examples="${2:-20}"
schemathesis="${VENV:-.venv}/bin/schemathesis"
[[ -x "$schemathesis" ]] || tests/install.sh

# A build with optimisations makes the same requests in less time; take it when it is the newer one.
release="$TARGET_DIR/release/convoke"
[[ "$release" -nt "$CONVOKE_BIN" ]] && CONVOKE_BIN="$release"
start_convoke "$engine" CONVOKE_RATE_LIMIT_ENABLED=false CONVOKE_LOG=warn,convoke=info \
  CONVOKE_PASSWORD_HASH_MEMORY=64

email=fuzz@example.org
password='a long enough passphrase for fuzzing'
jq -n --arg email "$email" --arg password "$password" '{$email, $password, display_name: "Fuzz"}' |
  curl -fsS -o /dev/null -H 'content-type: application/json' -d @- "$CONVOKE_URL/api/v1/auth/register" ||
  die "the fuzzing user could not be registered"

# Schemathesis logs in by itself, and again before the access token ends.
jq -n --arg email "$email" --arg password "$password" --arg url "$CONVOKE_URL/api/v1/auth/login" '
  {auth: [{name: "fuzz", loginEndpointAuth: {
    verb: "POST", externalEndpointURL: $url, contentType: "application/json",
    payloadUserPwd: {username: $email, usernameField: "email", password: $password, passwordField: "password"},
    token: {extractFrom: "body", extractSelector: "/access_token",
            sendIn: "header", sendName: "Authorization", sendTemplate: "Bearer {token}"}}}]}' \
  >"$SCRATCH/auth.json"

status=0
PYTHONPATH=tests SCHEMATHESIS_HOOKS=schemathesis_hooks "$schemathesis" --config-file tests/schemathesis.toml run "$CONVOKE_URL/openapi.json" \
  --auth-wfc "$SCRATCH/auth.json" --max-examples "$examples" ${SEED:+--seed "$SEED"} || status=$?

# Whatever was thrown at it, it still stands, it never panicked, and it stops cleanly.
kill -0 "$CONVOKE_PID" 2>/dev/null || { tail -20 "$SERVICE_LOG" >&2; die "the service died while being fuzzed"; }
panics="$(curl -fsS "$CONVOKE_OPS_URL/metrics" | awk '/^panics_total/ { n += $2 } END { print n + 0 }')"
[[ "$panics" == 0 ]] || { grep -i panic "$SERVICE_LOG" | head -5 >&2; die "$panics panics while being fuzzed"; }
exit "$status"
