#!/usr/bin/env bash
# The references under docs/ that the binary writes: `check` (the default) fails when one differs from
# what the sources say, `write` brings them up to date.
source "$(dirname "$0")/lib.sh"

mode="${1:-check}"
[[ "$mode" == check || "$mode" == write ]] || die "usage: tests/generated.sh [check|write]"
[[ "$mode" == check ]] || cargo build --locked --bin convoke
[[ -x "$CONVOKE_BIN" ]] || die "$CONVOKE_BIN is missing; run: cargo build"

differ=0
# generated FILE COMMAND…
generated() {
  local file="$1" fresh="$SCRATCH/$(basename "$1")"
  shift
  # A clean environment: what is set on this machine is no part of a reference.
  env -i PATH="$PATH" "$CONVOKE_BIN" "$@" >"$fresh" || die "convoke $* failed"
  [[ -s "$fresh" ]] || die "convoke $* printed nothing"
  if [[ "$mode" == write ]]; then
    mkdir -p "$(dirname "$file")"
    cp "$fresh" "$file"
  elif ! diff -u "$file" "$fresh"; then
    differ=1
  fi
}

generated docs/openapi.json openapi
generated docs/configuration.md settings
generated docs/metrics.md metrics
generated docs/metrics.json metrics --format json
generated docs/signals.md signals
generated docs/signals.json signals --format json
((differ == 0)) || die "generated files differ from their sources; run: make docs"
