#!/usr/bin/env bash
# Samples per second of data-parallel training on CPUs, AccelerateSharp beside PyTorch, one thread per process; one line of
# JSON per run. The sides take turns, so that a busy moment of the machine hits both.
#
#   benchmarks/ddp-throughput.sh [ROUNDS] [options of the programs, for instance --batch 16]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/setup.sh
source scripts/build.sh
rounds=${1:-3}
shift $(($# > 0 ? 1 : 0))

build_native
build_dotnet src/AccelerateSharp.Cli/AccelerateSharp.Cli.csproj
build_dotnet benchmarks/DdpThroughput/DdpThroughput.csproj
scripts/python-peer.sh >/dev/null

export OMP_NUM_THREADS=1
for _ in $(seq "$rounds"); do
  for processes in 1 2; do
    artifacts/bin/AccelerateSharp.Cli/release/accelerate launch --cpu --num_processes "$processes" \
      artifacts/bin/DdpThroughput/release/DdpThroughput.dll "$@" 2>/dev/null
    scripts/python-peer.sh run benchmarks/ddp_peer.py --processes "$processes" "$@"
  done
done
