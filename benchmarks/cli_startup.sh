#!/usr/bin/env bash
# How long `accelerate` takes to answer: median wall time of a help page, `config default`, `estimate-memory` on a local file, `env`, and
# of `launch` until the first worker's process runs. Usage: benchmarks/cli_startup.sh TOOL [TOOL...], each the path of a build; RUNS sets the number of runs (20).
# For instance the compiled tool and the fallback:
#   dotnet publish src/AccelerateSharp.Cli -c Release -r linux-x64 -p:PublishAot=true
#   dotnet build src/AccelerateSharp.Cli -c Release
#   benchmarks/cli_startup.sh artifacts/publish/AccelerateSharp.Cli/release_linux-x64/accelerate artifacts/bin/AccelerateSharp.Cli/release/accelerate
set -euo pipefail

runs=${RUNS:-20}
[ $# -gt 0 ] || { sed -n '2,8p' "${BASH_SOURCE[0]}" >&2; exit 1; }

# Nanoseconds since the epoch, without starting a process: the clock itself must cost nothing.
now() {
  local time=$EPOCHREALTIME
  stamp=$((${time/[.,]/} * 1000))
}

median() {
  sort -n | awk '{ v[NR] = $1 } END { printf "%.1f", (NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2) / 1e6 }'
}

# The worker writes when it was started, in the same clock.
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
worker=$folder/worker
printf '#!/bin/bash\necho $((${EPOCHREALTIME/[.,]/} * 1000))\n' > "$worker"
chmod +x "$worker"
cat > "$folder/config.json" <<'JSON'
{"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
 "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256, "max_position_embeddings": 8192, "tie_word_embeddings": false}
JSON

of_command() {
  local start
  for ((run = 0; run < runs; run++)); do
    now; start=$stamp
    "$@" >/dev/null 2>&1
    now
    rm -f "$folder/new.yaml"
    echo $((stamp - start))
  done | median
}

of_launch() {
  local start first
  for ((run = 0; run < runs; run++)); do
    now; start=$stamp
    first=$("$1" launch --cpu --num_processes 2 "$worker" 2>/dev/null </dev/null | sed 's/.*] //' | sort -n | head -1)
    echo $((first - start))
  done | median
}

echo "# $(awk -F': ' '/model name/ { print $2; exit }' /proc/cpuinfo), $(nproc) processors, load $(cut -d' ' -f1 /proc/loadavg), $runs runs each"
row() { printf '| %-60s | %8s | %8s | %8s | %8s | %8s |\n' "$@"; }
row tool --help config estimate env launch
printf '|%s|%s\n' "$(printf '%.0s-' {1..62})" "$(printf '%.0s----------|' {1..5})"
for tool in "$@"; do
  "$tool" --help >/dev/null
  row "$tool" "$(of_command "$tool" --help)" "$(of_command "$tool" config default --config_file "$folder/new.yaml")" \
    "$(of_command "$tool" estimate-memory "$folder/config.json")" "$(of_command "$tool" env)" "$(of_launch "$tool")"
done
