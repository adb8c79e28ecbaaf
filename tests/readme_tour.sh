#!/usr/bin/env bash
# Runs the README's five-minute tour as a reader would: every ```sh block under that heading, in order,
# as one script against a freshly started service. The first line that fails ends it.
source "$(dirname "$0")/lib.sh"

engine="${1:-sqlite}"
heading='A five-minute tour'
tour="$SCRATCH/tour.sh"

awk -v heading="$heading" '
  /^#+ / && !fenced { level = length($1); title = substr($0, level + 2)
    if (inside && level <= depth) inside = 0
    if (title == heading) { inside = 1; depth = level } }
  /^```/ { if (fenced) { fenced = 0; taken = 0; next } fenced = 1; taken = (inside && $0 == "```sh"); next }
  taken { print }
' README.md >"$tour.lines"
[[ -s "$tour.lines" ]] || die "README.md has no sh block under \"$heading\""

start_convoke "$engine"

# The reader's own terminal runs the service at its default addresses; here it already runs, elsewhere.
{
  echo 'set -Eeuo pipefail'
  echo 'trap '\''echo "README.md: this line failed: $BASH_COMMAND" >&2'\'' ERR'
  sed -E -e '/^(make run|cargo run.*|convoke serve) *&? *$/d' \
    -e "s#http://(127\.0\.0\.1|localhost):8080#$CONVOKE_URL#g" \
    -e "s#http://(127\.0\.0\.1|localhost):9464#$CONVOKE_OPS_URL#g" "$tour.lines"
} >"$tour"

# A refused request is a failed line, although curl alone would shrug.
mkdir "$SCRATCH/home" "$SCRATCH/here"
echo 'fail-with-body' >"$SCRATCH/home/.curlrc"
bin="$(cd "$(dirname "$CONVOKE_BIN")" && pwd)"
(cd "$SCRATCH/here" && env -i "${CONVOKE_SETTINGS[@]}" PATH="$bin:$PATH" HOME="$SCRATCH/home" bash "$tour") ||
  { say "--- the service's log"; tail -20 "$SERVICE_LOG" >&2; die "the tour in README.md does not work ($engine)"; }
say "README.md: $(grep -c . "$tour.lines") lines of the tour work ($engine)"
