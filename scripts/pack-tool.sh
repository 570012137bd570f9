#!/usr/bin/env bash
# Packs the `accelerate` tool into artifacts/packages: machine code for linux-x64, and IL for every other platform. Then
#   dotnet tool install --global AccelerateSharp.Cli --add-source artifacts/packages
# takes what fits the machine. Machine code needs gcc or clang, as linker.
# With `any` as argument only the IL package is made: it needs nothing but the .NET SDK.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

project=src/AccelerateSharp.Cli
out=artifacts/packages
pack() {
  dotnet pack "$project" --configuration Release --output "$out" --nologo --verbosity quiet -consoleLoggerParameters:NoSummary "$@"
}

runtimes=(linux-x64 any)
if [ "${1:-}" = any ]; then runtimes=(any); fi
list=$(IFS=';' && echo "${runtimes[*]}")

# What an earlier publish left behind would be packed too.
rm -rf "$out"/AccelerateSharp.Cli.*.nupkg artifacts/publish/AccelerateSharp.Cli
for runtime in "${runtimes[@]}"; do
  compile=true
  if [ "$runtime" = any ]; then compile=false; fi
  echo "Packing for $runtime."
  pack --runtime "$runtime" -p:PublishAot=$compile -p:ToolPackageRuntimeIdentifiers="\"$list\""
done
# The package that users name: it holds no program, and points to those above.
echo "Packing the index."
pack -p:PublishAot=true -p:ToolPackageRuntimeIdentifiers="\"$list\""
ls -l "$out"/AccelerateSharp.Cli.*.nupkg
