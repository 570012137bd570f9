#!/usr/bin/env bash
# Trains Llamas of several sizes with AccelerateSharp and with Accelerate + transformers, in alternation; prints a table last.
#
#   benchmarks/train_llama.sh COMMAND [arguments]     COMMAND starts TrainLlama, for instance artifacts/gpu/NAME/run.sh TrainLlama
#
# Settings:
#   CASES      rows of "PRESET BATCH SEQ [options]", one a line        (160m 16 1024 and 1.5b 4 2048, both in bf16)
#   VARIANTS   our rows of each case, options separated by ';'         (--fused-loss;--plain-loss)
#   PEER       options of the peer's rows, likewise; "-" leaves it out (none)
#   NPROC (1)  processes, one for each GPU          STEPS (15)         LIMIT (150 s for each start)
#   SAME_WEIGHTS=1: ours start from the peer's weights, and the losses of the first steps are compared
#   PYTHON (python3)        OUT: a folder for the logs
set -uo pipefail

if [[ $# -lt 1 ]]; then
  sed -n '2,14p' "$0" >&2
  exit 2
fi

here=$(cd "$(dirname "$0")" && pwd)
cases=${CASES:-"160m 16 1024 --precision bf16
1.5b 4 2048 --precision bf16"}
variants=${VARIANTS:-"--fused-loss;--plain-loss"}
peer=${PEER:-}
nproc=${NPROC:-1}
steps=${STEPS:-15}
limit=${LIMIT:-150}
python=${PYTHON:-python3}
logs=${OUT:-$(mktemp -d)}
mkdir -p "$logs"
port=$((20000 + RANDOM % 20000))

# libtorch counts its memory, and only C++ can ask it: a few lines against the headers of this PyTorch.
torch=$("$python" -c 'import importlib.util, os; print(os.path.dirname(importlib.util.find_spec("torch").origin))' 2> /dev/null || true)
cuda=${CUDA_HOME:-/usr/local/cuda}
for candidate in "$cuda/include" "$torch"/../nvidia/cu*/include "$torch"/../nvidia/cuda_runtime/include; do
  [[ -e $candidate/cuda_runtime_api.h ]] && cuda_include=$candidate && break
done
if [[ -z ${TRAIN_LLAMA_MEMORY:-} && -n $torch && -n ${cuda_include:-} ]] && command -v c++ > /dev/null; then
  c++ -std=c++20 -O1 -shared -fPIC -I"$torch/include" -I"$cuda_include" "$here/TrainLlama/cuda_memory.cpp" -o "$logs/cuda_memory.so" \
    -L"$torch/lib" -lc10 -lc10_cuda > "$logs/cuda_memory.log" 2>&1 && export TRAIN_LLAMA_MEMORY=$logs/cuda_memory.so
fi

# Starts a command once for each rank and waits for all; the line of rank 0 goes to the results.
start() {
  local name=$1 rank pids=() failed=0
  shift
  port=$((port + 1))
  for ((rank = 0; rank < nproc; rank++)); do
    local job=()
    [[ $nproc -gt 1 ]] && job=(RANK=$rank LOCAL_RANK=$rank WORLD_SIZE=$nproc LOCAL_WORLD_SIZE=$nproc MASTER_ADDR=127.0.0.1 MASTER_PORT=$port)
    env "${job[@]}" timeout -k 5 "$limit" "$@" > "$logs/$name.$rank.log" 2> "$logs/$name.$rank.err" &
    pids+=($!)
  done
  for pid in "${pids[@]}"; do wait "$pid" || failed=$?; done
  if grep -q '^{"side"' "$logs/$name.0.log"; then
    grep '^{"side"' "$logs/$name.0.log" | tee -a "$logs/results.jsonl"
  else
    echo "$name: exit code $failed"
    tail -n 8 "$logs/$name.0.log" "$logs/$name.0.err"
  fi
}

: > "$logs/results.jsonl"
row=0
while read -r preset batch seq options; do
  [[ -n $preset ]] || continue
  row=$((row + 1))
  # shellcheck disable=SC2206
  common=(--preset "$preset" --batch "$batch" --seq "$seq" --steps "$steps" $options)
  weights=()
  if [[ $peer != - ]]; then
    save=()
    if [[ -n ${SAME_WEIGHTS:-} ]]; then
      save=(--save "$logs/weights.$row")
      weights=(--weights "$logs/weights.$row")
    fi
    number=0
    while IFS= read -r variant; do
      number=$((number + 1))
      # shellcheck disable=SC2086
      start "peer$row.$number" "$python" "$here/train_llama_peer.py" "${common[@]}" "${save[@]}" $variant
      # The others start from what the first one saved.
      [[ -z ${SAME_WEIGHTS:-} ]] || save=("${weights[@]}")
    done < <(tr ';' '\n' <<< "$peer")
  fi
  number=0
  while IFS= read -r variant; do
    number=$((number + 1))
    # shellcheck disable=SC2086
    start "ours$row.$number" "$@" "${common[@]}" "${weights[@]}" $variant
  done < <(tr ';' '\n' <<< "$variants")
  rm -rf "$logs/weights.$row"
done <<< "$cases"

"$python" "$here/train_llama_table.py" "$logs/results.jsonl"
