#!/usr/bin/env bash
# The main job, from a fresh clone: trains a small GPT on a real text over two worker processes and lets it write.
# Options are handed to the example (examples/text-generation.cs), for instance ./demo.sh --epochs 1
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source scripts/setup.sh
source scripts/build.sh

echo "Building; the first time, NuGet downloads what is missing (libtorch: 130 MB)."
build_native
build_dotnet src/AccelerateSharp.Cli/AccelerateSharp.Cli.csproj

command=(launch --cpu --num_processes 2 examples/text-generation.cs "$@")
echo "\$ accelerate ${command[*]}"
exec artifacts/bin/AccelerateSharp.Cli/release/accelerate "${command[@]}"
