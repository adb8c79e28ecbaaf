#!/usr/bin/env bash
# Everything that must hold before a change is merged, in order, each step timed; `make test` and CI run this.
# FUZZ_EXAMPLES bounds Schemathesis, and its seed is fixed here: the same change gives the same verdict. `make fuzz` draws anew. Later steps run although an earlier one failed: one run shows everything.
source "$(dirname "$0")/lib.sh"

names=() results=() times=()
step() { # step NAME COMMAND…
  local name="$1" from=$SECONDS status=0
  shift
  say "=== $name"
  "$@" || status=$?
  names+=("$name") results+=("$status") times+=($((SECONDS - from)))
  say "=== $name: $( ((status == 0)) && echo passed || echo "FAILED ($status)") in $((SECONDS - from)) s"
  return "$status"
}
later() { step "$@" || true; }

step 'install what is missing' tests/install.sh
step 'build' cargo build --locked --all-targets
later 'formatting' cargo fmt --check
later 'lints' cargo clippy --locked --all-targets --all-features --quiet -- -D warnings
later 'generated files' tests/generated.sh check
later 'tests' cargo test --locked
later 'the API through PgBouncer' env THROUGH_PGBOUNCER=1 cargo test --locked --test it -- --skip sqlite --skip three_hundred api::
later 'the console in a browser' tests/console.sh
later "the README's tour" tests/readme_tour.sh sqlite
later "the same on postgres" tests/readme_tour.sh postgres
kit_lints() {
  .venv/bin/ruff check --quiet --config kit/ruff.toml kit && .venv/bin/ruff format --quiet --check --config kit/ruff.toml kit
}
kit() { CONVOKE_BIN="$CONVOKE_BIN" .venv/bin/python -m kit "$@"; }
later "the kit's own lints" kit_lints
later "the kit's own tests" .venv/bin/python -m unittest discover -t . -s kit/tests
later "the kit's generated files" kit generate --check
later 'rules, dashboards, runbooks' kit lint
later 'tests of the rules' kit test_rules
later 'the deployment checklist' kit checklist --quick
later 'instructions a request' kit instructions
later 'load smoke' kit load smoke
later 'the kit against a service' kit contract
# The tests' build is not optimised, and takes longer for a scrape: a slower clock, whose shortest window holds two of them.
later 'fire drills' kit drills --core --lanes 2 --scale 0.05 --interval 1500ms
export SEED="${SEED:-20261122}"
later 'fuzzing on sqlite' tests/fuzz.sh sqlite "${FUZZ_EXAMPLES:-15}"
later 'fuzzing on postgres' tests/fuzz.sh postgres "${FUZZ_EXAMPLES:-15}"

failed=0
say ''
for i in "${!names[@]}"; do
  ((results[i] == 0)) || failed=$((failed + 1))
  printf '%6d s  %-24s %s\n' "${times[i]}" "${names[i]}" "$( ((results[i] == 0)) && echo passed || echo FAILED)" >&2
done
echo "steps: $((${#names[@]} - failed)) passed, $failed failed"
((failed == 0))
