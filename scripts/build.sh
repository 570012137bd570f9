# Builds. Sourced by demo.sh and test.sh, after setup.sh.
build_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# build_step WHAT COMMAND…: silent when all is well, the command's own words when not.
build_step() {
  local what=$1 log
  shift
  log=$(mktemp)
  if ! "$@" >"$log" 2>&1; then
    cat "$log" >&2
    rm -f "$log"
    echo "Building $what failed; the reason is above." >&2
    return 1
  fi
  rm -f "$log"
}

# The CPU collectives: native/build/gloo/libaccelerate_gloo.so. Nothing to do, in half a second, when no source changed.
build_native() {
  build_step native/gloo cmake -S "$build_root/native/gloo" -B "$build_root/native/build/gloo" -DCMAKE_BUILD_TYPE=Release
  build_step native/gloo cmake --build "$build_root/native/build/gloo" --parallel
}

# A project, a solution or a file-based app, in Release.
build_dotnet() {
  build_step "$1" dotnet build "$1" --configuration Release --nologo --verbosity quiet
}
