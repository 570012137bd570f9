#!/usr/bin/env bash
# Checks the NCCL collectives on this machine's GPUs, then measures all-reduce beside PyTorch's in alternation; prints the ratio last.
#
#   benchmarks/gpu_check.sh COMMAND [arguments]     COMMAND starts GpuCheck, for instance artifacts/gpu/NAME/run.sh GpuCheck
#
# Settings: NPROC (2), ROUNDS (3), PYTHON (python3), BACKEND (nccl), LIMIT (240 s for each start), OUT (a folder for the logs).
set -uo pipefail

if [[ $# -lt 1 ]]; then
  sed -n '2,6p' "$0" >&2
  exit 2
fi

here=$(cd "$(dirname "$0")" && pwd)
nproc=${NPROC:-2}
rounds=${ROUNDS:-3}
backend=${BACKEND:-nccl}
limit=${LIMIT:-240}
logs=${OUT:-$(mktemp -d)}
mkdir -p "$logs"
port=$((20000 + RANDOM % 20000))

# Starts a command once for each rank and waits for all; the logs are NAME.RANK.log. Sets `codes`.
start() {
  local name=$1 rank pids=()
  shift
  port=$((port + 1))
  for ((rank = 0; rank < nproc; rank++)); do
    RANK=$rank LOCAL_RANK=$rank WORLD_SIZE=$nproc LOCAL_WORLD_SIZE=$nproc MASTER_ADDR=127.0.0.1 MASTER_PORT=$port \
      timeout -k 5 "$limit" "$@" > "$logs/$name.$rank.log" 2>&1 &
    pids+=($!)
  done
  codes=()
  for pid in "${pids[@]}"; do
    wait "$pid"
    codes+=($?)
  done
}

status=0
echo "== checks"
start check "$@" --backend "$backend" ${SMALL:+--small}
for ((rank = 0; rank < nproc; rank++)); do cat "$logs/check.$rank.log"; done
echo "exit codes: ${codes[*]} (the last rank kills itself at the end: 137)"
for ((rank = 0; rank < nproc - 1; rank++)); do [[ ${codes[$rank]} -eq 0 ]] || status=1; done
[[ ${codes[nproc - 1]} -eq 137 ]] || status=1
# The last rank is not there to judge itself at the end.
if grep -qE 'WRONG|FAILED' "$logs"/check.*.log; then status=1; fi

echo "== bandwidth"
for ((round = 1; round <= rounds; round++)); do
  start "ours$round" "$@" --backend "$backend" --only bandwidth ${SMALL:+--small}
  [[ ${codes[0]} -eq 0 ]] || { status=1; cat "$logs/ours$round.0.log"; }
  start "peer$round" "${PYTHON:-python3}" "$here/nccl_peer.py" "$backend" ${SMALL:+1 4}
  [[ ${codes[0]} -eq 0 ]] || { status=1; tail -5 "$logs/peer$round.0.log"; }
  grep -h '^RESULT' "$logs/ours$round.0.log" "$logs/peer$round.0.log"
done

# The middle of the rounds for each size, ours beside PyTorch's.
cat "$logs"/ours?.0.log "$logs"/peer?.0.log | grep '^RESULT' | sort -k2,2 -k3,3n -k4,4n | awk '
  { key = $2 " " $3; n[key]++; value[key, n[key]] = $4; sizes[$3] = 1 }
  END {
    printf "%8s %18s %18s %8s\n", "size", "AccelerateSharp", "PyTorch", "ratio"
    count = 0
    for (size in sizes) order[++count] = size + 0
    for (i = 1; i <= count; i++) for (j = i + 1; j <= count; j++) if (order[j] < order[i]) { t = order[i]; order[i] = order[j]; order[j] = t }
    for (i = 1; i <= count; i++) {
      size = order[i]
      ours = "accelerate " size; theirs = "pytorch " size
      a = n[ours] ? value[ours, int((n[ours] + 1) / 2)] : 0
      b = n[theirs] ? value[theirs, int((n[theirs] + 1) / 2)] : 0
      printf "%5d MB %12.1f GiB/s %12.1f GiB/s %8s\n", size, a, b, (b > 0 ? sprintf("%.3f", a / b) : "-")
    }
  }'
if [[ $status -eq 0 ]]; then echo "checks: all right"; else echo "checks: NOT all right (logs in $logs)"; fi
exit $status
