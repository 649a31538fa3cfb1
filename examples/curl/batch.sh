#!/usr/bin/env bash
# Submit a batch with nothing but curl, wait for its end, print the results as JSON Lines.
#   ASTROLABE_PLANNER_URL=... ASTROLABE_API_KEY=... examples/curl/batch.sh FILE.ndjson > results.jsonl
set -euo pipefail

requests=${1:?usage: batch.sh FILE.ndjson}
url=${ASTROLABE_PLANNER_URL:-http://127.0.0.1:8001}
umask 077
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The key goes by a file: arguments can be seen by every process of the machine.
printf '%s' "${ASTROLABE_API_KEY:+Authorization: Bearer $ASTROLABE_API_KEY}" > "$work/key"

# Busy (503) and over a limit (429) are tried again after `Retry-After`. That is safe: each line has an `external_id`.
ask() {
    curl --silent --show-error --fail-with-body --retry 5 --retry-connrefused --header "@$work/key" "$@"
}

ask --header "Content-Type: application/x-ndjson" --data-binary "@$requests" --dump-header "$work/headers" \
    "$url/batches" > "$work/receipt" || { cat "$work/receipt" >&2; exit 2; }
cat "$work/receipt" >&2
batch=$(sed -n 's/^[Ll]ocation: *\([^[:cntrl:]]*\).*/\1/p' "$work/headers" | tail -n 1)

# Each look waits up to 60 s for the end; unchanged (304) leaves the file as it is.
touch "$work/etag" "$work/state"
until grep -Eq '"status": ?"finished"' "$work/state"; do
    ask --etag-compare "$work/etag" --etag-save "$work/etag" --output "$work/state" "$url$batch?wait=60"
done

# `?since=CURSOR`, the cursor of the last line had, would go on where an earlier reading stopped.
ask "$url$batch/results"
