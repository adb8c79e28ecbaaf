#!/usr/bin/env bash
# The ops console in a real browser, against a real service and a real Prometheus: `check` (the default), or `previews`,
# which draws docs/previews/console-*.png anew.
source "$(dirname "$0")/lib.sh"

mode="${1:-check}"
[[ "$mode" == check || "$mode" == previews ]] || die "usage: tests/console.sh [check|previews]"
command -v chromium >/dev/null || die "chromium is missing; run: tests/install.sh"

# A lock held elsewhere is to fail a write within seconds.
start_convoke sqlite CONVOKE_SQLITE_BUSY_TIMEOUT=1s CONVOKE_DATABASE_RETRY_ATTEMPTS=1 \
  CONVOKE_RATE_LIMIT_ENABLED=false CONVOKE_PASSWORD_HASH_MEMORY=64
python3 -m tests.console "$mode" "$CONVOKE_URL" "$CONVOKE_OPS_URL" "$CONVOKE_PID" \
  "$(dirname "$SERVICE_LOG")/convoke.db" "$SERVICE_LOG" "$SCRATCH" "$(free_port)"
