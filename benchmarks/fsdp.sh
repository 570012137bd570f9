#!/usr/bin/env bash
# Sharded training of Llamas beside Accelerate's FSDP 1 and 2, on two GPUs; prints a table last.
#
#   benchmarks/fsdp.sh COMMAND [arguments]     COMMAND starts TrainLlama, for instance artifacts/gpu/NAME/run.sh TrainLlama
#
# Settings:
#   ITEMS   which of these, in this order    (losses 8b 1.5b ddp offload checkpointing)
#             losses         160m from the same weights: the losses of the first steps
#             8b             8.03 B parameters, batch 1 x 4096, full fine-tuning with AdamW, and the timeline of one step
#             1.5b, ddp      1.5 B, batch 4 x 2048: sharded, and replicated
#             offload        the same with shards and optimizer on the host
#             checkpointing  8.03 B, batch 4 x 4096
#             tiny           a rehearsal on CPUs
#   NPROC (2)   LIMIT (100 s for each start)   PEERS (--strategy fsdp1;--strategy fsdp2)   PYTHON (python3)   OUT: a folder for the logs
set -uo pipefail

if [[ $# -lt 1 ]]; then
  sed -n '2,15p' "$0" >&2
  exit 2
fi

here=$(cd "$(dirname "$0")" && pwd)
export NPROC=${NPROC:-2} LIMIT=${LIMIT:-100} PYTHON=${PYTHON:-python3}
logs=${OUT:-$(mktemp -d)}
peers=${PEERS:-"--strategy fsdp1;--strategy fsdp2"}
# The peers' default optimizer needs 80 GB for 8 B parameters on two GPUs: on smaller ones it is the fused one.
fused=
if [[ $peers != - ]] && command -v nvidia-smi > /dev/null; then
  memory=$(nvidia-smi --query-gpu=memory.total --format=csv,noheader,nounits | head -1)
  [[ $memory -lt 90000 ]] && fused=" --fused"
fi
# With offloading the optimizer runs on the host: each process gets its share of the cores.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$(($(nproc) / NPROC > 0 ? $(nproc) / NPROC : 1))}
mkdir -p "$logs"

# item NAME CASE OURS PEERS [environment]: the program's rows after the peers', in a folder of their own.
item() {
  local name=$1 started=$SECONDS
  echo "== $name"
  env OUT="$logs/$name" CASES="$2" VARIANTS="$3" PEER="$4" "${@:5}" "$here/train_llama.sh" "${program[@]}" > "$logs/$name.txt" 2>&1
  sed '/^|/d; /^{/d' "$logs/$name.txt"
  echo "$name: $((SECONDS - started)) s"
  [[ -z ${TRAIN_LLAMA_MEMORY:-} && -e $logs/$name/cuda_memory.so ]] && export TRAIN_LLAMA_MEMORY=$logs/$name/cuda_memory.so
}

program=("$@")
for name in ${ITEMS:-losses 8b 1.5b ddp offload checkpointing}; do
  case $name in
    losses) item losses "160m 4 1024 --precision bf16 --warm-up 0 --parts 1" "--strategy fsdp" "$peers" SAME_WEIGHTS=1 STEPS=6 ;;
    8b) item 8b "8b 1 4096 --precision bf16 --warm-up 3 --parts 2" "--strategy fsdp --timeline $logs/8b.json" "${peers//;/$fused;}$fused" STEPS=8 ;;
    1.5b) item 1.5b "1.5b 4 2048 --precision bf16 --warm-up 3 --parts 2" "--strategy fsdp" "$peers" STEPS=10 ;;
    ddp) item ddp "1.5b 4 2048 --precision bf16 --warm-up 3 --parts 2" "--strategy ddp" "--strategy ddp" STEPS=10 ;;
    offload) item offload "1.5b 4 2048 --precision bf16 --warm-up 1 --parts 1 --offload" "--strategy fsdp" "$peers" STEPS=4 ;;
    checkpointing) item checkpointing "8b 4 4096 --precision bf16 --warm-up 2 --parts 1 --checkpointing" "--strategy fsdp" "${peers//;/$fused;}$fused" STEPS=4 ;;
    tiny) item tiny "tiny 2 64 --precision bf16 --warm-up 1 --parts 1 --checkpointing --offload --cpu" "--strategy fsdp --timeline $logs/tiny.json" "$peers" STEPS=4 ;;
    *) echo "There is no item $name." >&2 && exit 2 ;;
  esac
done

results=()
for file in "$logs"/*/results.jsonl; do results+=("$file"); done
"$PYTHON" "$here/train_llama_table.py" "${results[@]}"
