#!/usr/bin/env bash
# Checks the launcher on this machine's GPUs: what `accelerate env` sees, data-parallel, FSDP and DeepSpeed training of one program that
# passes no setting itself, and the self-test's parts. Prints a line for each, and WRONG where one is not as it should be.
#
#   benchmarks/launch_check.sh RUN     RUN is the run.sh of an archive of scripts/package-gpu.sh with AccelerateSharp.Cli,
#                                      AccelerateSharp.TestWorker and AccelerateSharp.SelfTest
#
# Settings: NPROC (2), LIMIT (60 s for each start), DEVICE (--multi_gpu; --cpu to rehearse).
set -uo pipefail

[ $# -eq 1 ] || { sed -n '2,9p' "$0" >&2; exit 2; }
run=$1 app=$(cd "$(dirname "$1")" && pwd)/app
nproc=${NPROC:-2} limit=${LIMIT:-60} device=${DEVICE:---multi_gpu}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
status=0

echo "== accelerate env"
timeout "$limit" "$run" accelerate env | grep -A12 -E '^(NVIDIA driver|GPU|libtorch|NCCL|Gloo|CPU):' | head -40

# check NAME EXPECTED OPTION…: every rank prints a line that has EXPECTED.
check() {
  local name=$1 expected=$2
  shift 2
  timeout "$limit" "$run" accelerate launch --num_processes "$nproc" "$@" "$app/AccelerateSharp.TestWorker" ShowTraining > "$folder/log" 2>&1
  local code=$?
  grep ' holds ' "$folder/log"
  if [ "$code" -eq 0 ] && [ "$(grep -c " $expected.* holds " "$folder/log")" -eq "$nproc" ]; then
    echo "$name: ok"
  else
    status=1
    echo "$name: WRONG, exit code $code"
    tail -20 "$folder/log"
  fi
}
on=CUDA several=MultiGpu cpu=()
if [ "$device" = --cpu ]; then on=CPU several=MultiCpu cpu=(--cpu); fi
check "data parallel" "$several $on BF16" "$device" --mixed_precision bf16
check "data parallel, NUMA" "$several $on No" "$device" --enable_cpu_affinity
check "FSDP" "Fsdp $on BF16" "${cpu[@]}" --use_fsdp --fsdp_auto_wrap_policy TRANSFORMER_BASED_WRAP --mixed_precision bf16
check "FSDP 2" "Fsdp $on No" "${cpu[@]}" --use_fsdp --fsdp_version 2 --fsdp_reshard_after_forward false
check "DeepSpeed" "DeepSpeed $on BF16" "${cpu[@]}" --use_deepspeed --zero_stage 3 --mixed_precision bf16

echo "== self-test"
mkdir "$folder/selftest"
timeout "$limit" "$run" accelerate launch "${cpu[@]}" --num_processes "$nproc" --mixed_precision bf16 "$app/AccelerateSharp.SelfTest" "$folder/selftest" > "$folder/log" 2>&1
code=$?
grep -h '"Ended":true' "$folder"/selftest/rank-0.jsonl | sed -E 's/.*"Part":"([^"]*)".*"Problems":(\[[^]]*\]).*"Seconds":([0-9.]{1,5}).*"Note":"?([^"]*)"?.*/\1: \3 s, problems \2, \4/'
if [ "$code" -eq 0 ] && ! grep -h '"Ended":true' "$folder"/selftest/*.jsonl | grep -qv '"Problems":\[\]'; then
  echo "self-test: ok"
else
  status=1
  echo "self-test: WRONG, exit code $code"
  tail -20 "$folder/log"
fi
exit $status
