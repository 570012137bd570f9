#!/usr/bin/env bash
# Packs programs for a machine that has PyTorch (with CUDA) and no .NET: one archive with the runtime and our natives, without libtorch.
#
#   scripts/package-gpu.sh NAME PROJECT.csproj…      → artifacts/gpu/NAME.tar.xz
#
# There:  tar xf NAME.tar.xz && NAME/run.sh PROGRAM [arguments]
# run.sh takes libtorch, CUDA and NCCL from the PyTorch that `python3` (or $PYTHON) imports.
set -euo pipefail

if [[ $# -lt 2 || ! -f $2 ]]; then
  echo "usage: $0 NAME PROJECT.csproj…" >&2
  exit 2
fi

root=$(cd "$(dirname "$0")/.." && pwd)
name=$1
shift
stage=$root/artifacts/gpu/$name
rm -rf "$stage"
mkdir -p "$stage/app"

# Into one folder: the programs share the runtime, which is most of the size.
for project in "$@"; do
  echo "publishing $project"
  dotnet publish "$project" -c Release -r linux-x64 --self-contained true -o "$stage/app" -v quiet -nologo \
    -p:PublishReadyToRun=false -p:DebugType=embedded -p:UseAppHost=true
done
# What a restore may have copied although the target machine brings its own, and what nobody needs to run.
rm -f "$stage"/app/libtorch*.so "$stage"/app/libc10*.so "$stage"/app/libgomp*.so* "$stage"/app/*.pdb "$stage"/app/*.xml

packages=${NUGET_PACKAGES:-$HOME/.nuget/packages}
torchsharp=$(sed -n 's/.*Include="TorchSharp" Version="\([^"]*\)".*/\1/p' "$root/Directory.Packages.props")
cp "$packages/torchsharp/$torchsharp/runtimes/linux-x64/native/libLibTorchSharp.so" "$stage/app/"

echo "building native/gloo"
# DT_RPATH, not DT_RUNPATH: it also holds for what libgloo itself needs, which the target machine may lack.
cmake -S "$root/native/gloo" -B "$root/artifacts/gpu/gloo-build" -DCMAKE_BUILD_TYPE=Release \
  -DCMAKE_BUILD_RPATH='$ORIGIN/gloo' -DCMAKE_SHARED_LINKER_FLAGS=-Wl,--disable-new-dtags >/dev/null
cmake --build "$root/artifacts/gpu/gloo-build" --parallel >/dev/null
cp "$(find "$root/artifacts/gpu/gloo-build" -name libaccelerate_gloo.so | head -1)" "$stage/app/"
mkdir -p "$stage/app/gloo"
# Everything behind Gloo but what every Linux has.
ldd "$stage/app/libaccelerate_gloo.so" | sed -n 's/^\s*\(\S*\) => \(\/\S*\) .*/\1 \2/p' | while read -r library path; do
  case $library in
    libc.so.* | libm.so.* | libdl.so.* | librt.so.* | libpthread.so.* | libstdc++.so.* | libgcc_s.so.*) ;;
    *) cp -L "$path" "$stage/app/gloo/$library" ;;
  esac
done

cat > "$stage/run.sh" <<RUN
#!/usr/bin/env bash
# run.sh PROGRAM [arguments]: starts it with libtorch, CUDA and NCCL of the PyTorch install that \${PYTHON:-python3} sees.
set -euo pipefail
here=\$(cd "\$(dirname "\${BASH_SOURCE[0]}")" && pwd)
if [[ -z \${ACCELERATE_LIBTORCH:-} ]]; then
  ACCELERATE_LIBTORCH=\$("\${PYTHON:-python3}" -c 'import importlib.util, os; print(os.path.join(os.path.dirname(importlib.util.find_spec("torch").origin), "lib"))')
fi
export ACCELERATE_LIBTORCH
path=\$ACCELERATE_LIBTORCH
for folder in "\$ACCELERATE_LIBTORCH"/../../nvidia/*/lib; do
  [[ -d \$folder ]] && path=\$path:\$(cd "\$folder" && pwd)
done
export LD_LIBRARY_PATH=\$path\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}
export DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1
program=\$1
shift
exec "\$here/app/\$program" "\$@"
RUN
chmod +x "$stage/run.sh"

tar -C "$root/artifacts/gpu" -cf - "$name" | xz -T0 -6 > "$root/artifacts/gpu/$name.tar.xz"
echo "artifacts/gpu/$name.tar.xz: $(du -h "$root/artifacts/gpu/$name.tar.xz" | cut -f1)"
