#!/usr/bin/env bash
# A Llama under DeepSpeed configurations with and without offloading, by TrainLlama; prints a table last.
#
#   benchmarks/deepspeed.sh COMMAND [arguments]     COMMAND starts TrainLlama, for instance artifacts/gpu/NAME/run.sh TrainLlama
#
# Settings:
#   ITEMS   configurations, in this order    (zero2 zero3 zero2-cpu zero3-cpu zero3-nvme)
#   CASE    "PRESET BATCH SEQ [options]"     (1.5b 4 2048 --precision bf16 --warm-up 1)
#   NVME_CASE  the same for files            (160m 16 1024 --precision bf16 --warm-up 1)
#   NVME    a folder on a fast disk ($TMPDIR or /tmp)    NPROC (1)   STEPS (3)   LIMIT (100 s for each start)   PYTHON (python3)   OUT: a folder for the logs
set -uo pipefail

if [[ $# -lt 1 ]]; then
  sed -n '2,11p' "$0" >&2
  exit 2
fi

here=$(cd "$(dirname "$0")" && pwd)
export NPROC=${NPROC:-1} LIMIT=${LIMIT:-100} STEPS=${STEPS:-3} PYTHON=${PYTHON:-python3} PEER=- VARIANTS="--strategy env"
logs=${OUT:-$(mktemp -d)}
nvme=${NVME:-${TMPDIR:-/tmp}}
case=${CASE:-1.5b 4 2048 --precision bf16 --warm-up 1}
nvme_case=${NVME_CASE:-160m 16 1024 --precision bf16 --warm-up 1}
# With offloading the optimizer runs on the host: each process gets its share of the cores.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$(($(nproc) / NPROC > 0 ? $(nproc) / NPROC : 1))}
mkdir -p "$logs"

for name in ${ITEMS:-zero2 zero3 zero2-cpu zero3-cpu zero3-nvme}; do
  stage=${name:4:1}
  device=none
  row=$case
  [[ $name == *-cpu ]] && device=cpu
  [[ $name == *-nvme ]] && device=nvme && row=$nvme_case
  cat > "$logs/$name.json" << JSON
{"bf16": {"enabled": true}, "gradient_clipping": 1.0, "aio": {"queue_depth": 16},
 "zero_optimization": {"stage": $stage, "offload_optimizer": {"device": "$device", "nvme_path": "$nvme"},
   "offload_param": {"device": "$device", "nvme_path": "$nvme", "max_in_cpu": 0}}}
JSON
  started=$SECONDS
  OUT="$logs/$name" CASES="$row" "$here/train_llama.sh" \
    env ACCELERATE_USE_DEEPSPEED=true ACCELERATE_DEEPSPEED_CONFIG_FILE="$logs/$name.json" "$@" > "$logs/$name.txt" 2>&1
  [[ -s $logs/$name/results.jsonl ]] || tail -n 12 "$logs/$name.txt"
  echo "$name: $((SECONDS - started)) s"
done

"$PYTHON" - "$logs" << 'TABLE'
import glob, json, os, sys
print("| configuration | model | batch x seq | GPUs | step ms (forward, backward, optimizer) | tokens/s/GPU | peak GiB | reserved GiB | first losses |")
print("|---|---|---|---|---|---|---|---|---|")
for path in sorted(glob.glob(os.path.join(sys.argv[1], "*", "results.jsonl"))):
    for line in open(path):
        r = json.loads(line)
        print(f"| {os.path.basename(os.path.dirname(path))} | {r['preset']} ({r['parameters']:,}) | {r['batch']} x {r['seq']} | {r['processes']} "
              f"| {r['step_ms']} ({' '.join(str(x) for x in r['forward_backward_optimizer_ms'])}) | {r['tokens_per_second_per_gpu']} | {r['peak_allocated_gib']} | {r['peak_reserved_gib']} "
              f"| {' '.join(str(round(x, 3)) for x in r['losses'][:4])} |")
TABLE
