#!/usr/bin/env bash
# Runs scenarios of tests/AccelerateSharp.TestWorker on this machine's GPUs, one after the other, and says which of them hold.
#
#   benchmarks/scenarios.sh COMMAND < LIST     COMMAND starts the worker, for instance artifacts/gpu/NAME/run.sh AccelerateSharp.TestWorker
#
# Each line of LIST is a number of ranks, a scenario and its arguments. Settings: LIMIT (90 s for each), OUT (a folder for the logs).
set -uo pipefail

if [[ $# -lt 1 ]]; then
  sed -n '2,6p' "$0" >&2
  exit 2
fi

limit=${LIMIT:-90}
logs=${OUT:-$(mktemp -d)}
mkdir -p "$logs"
port=$((20000 + RANDOM % 20000))
status=0
number=0
while read -r nproc arguments; do
  [[ -n $nproc && $nproc != \#* ]] || continue
  number=$((number + 1))
  port=$((port + 1))
  started=$SECONDS
  pids=()
  for ((rank = 0; rank < nproc; rank++)); do
    # shellcheck disable=SC2086 # the arguments are words
    RANK=$rank LOCAL_RANK=$rank WORLD_SIZE=$nproc LOCAL_WORLD_SIZE=$nproc MASTER_ADDR=127.0.0.1 MASTER_PORT=$port \
      timeout -k 5 "$limit" "$@" $arguments > "$logs/scenario$number.$rank.log" 2>&1 < /dev/null &
    pids+=($!)
  done
  codes=()
  for pid in "${pids[@]}"; do
    wait "$pid"
    codes+=($?)
  done
  if [[ ${codes[*]} =~ ^[0\ ]+$ ]]; then
    echo "holds   $nproc x $arguments ($((SECONDS - started)) s)"
  else
    status=1
    echo "FAILED  $nproc x $arguments (exit codes ${codes[*]}, $((SECONDS - started)) s)"
    for ((rank = 0; rank < nproc; rank++)); do tail -n 25 "$logs/scenario$number.$rank.log" | sed "s/^/  [$rank] /"; done
  fi
done
exit $status
