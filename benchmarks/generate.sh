#!/usr/bin/env bash
# Greedy generation by AccelerateSharp and by transformers, in the same call; prints both and their ratio last.
#
#   benchmarks/generate.sh COMMAND [arguments]     COMMAND starts Generate, for instance artifacts/gpu/NAME/run.sh Generate
#
# Settings: CASES, rows of options, one a line (8B, batch 1 and 8, 128 tokens in and 128 out); PEER=- leaves transformers out;
# PYTHON (python3), LIMIT (90 s for each start), OUT (a folder for the logs).
set -uo pipefail

if [[ $# -lt 1 ]]; then
  sed -n '2,7p' "$0" >&2
  exit 2
fi

here=$(cd "$(dirname "$0")" && pwd)
cases=${CASES:-"--preset 8b --batch 1
--preset 8b --batch 8"}
limit=${LIMIT:-90}
logs=${OUT:-$(mktemp -d)}
mkdir -p "$logs"
: > "$logs/results.txt"

# start NAME COMMAND…: its RESULT line goes to the results.
start() {
  local name=$1
  shift
  timeout -k 5 "$limit" "$@" > "$logs/$name.log" 2>&1 || echo "$name: exit code $?"
  grep '^RESULT' "$logs/$name.log" | tee -a "$logs/results.txt" || tail -n 8 "$logs/$name.log"
}

row=0
while read -r options; do
  [[ -n $options ]] || continue
  row=$((row + 1))
  # shellcheck disable=SC2086
  start "ours$row" "$@" $options
  # shellcheck disable=SC2086
  [[ ${PEER:-} == - ]] || start "peer$row" "${PYTHON:-python3}" "$here/generate_peer.py" $options
done <<< "$cases"

awk '
  { key = $3 " batch " $5 " prompt " $7 " new " $9; side = $2; speed[side, key] = $11; first[side, key] = $13; nextms[side, key] = $15; keys[key] = 1 }
  END {
    printf "%-36s %26s %26s %7s\n", "", "AccelerateSharp", "transformers", "ratio"
    for (key in keys) {
      a = speed["accelerate", key]; b = speed["transformers", key]
      printf "%-36s %8.1f tok/s %6.2f ms %8.1f tok/s %6.2f ms %7s\n", key, a, nextms["accelerate", key], b, nextms["transformers", key], (b > 0 ? sprintf("%.2f", a / b) : "-")
    }
  }' "$logs/results.txt"
