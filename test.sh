#!/usr/bin/env bash
# Builds everything and runs all tests. The last line is `N passed, N failed, N skipped`; the exit code is 0 only when
# everything was built, every test program ended as it should and no test failed.
# Options are handed to every test program, for instance ./test.sh -class AccelerateSharp.Tests.SamplerTests
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

passed=0 failed=0 skipped=0
reports=$(mktemp -d)
finish() {
  local code=$?
  rm -rf "$reports"
  # A step that broke off counts as one failure, so that the line and the exit code always agree.
  if [ "$code" -ne 0 ] && [ "$failed" -eq 0 ]; then failed=1; fi
  echo "$passed passed, $failed failed, $skipped skipped"
  if [ "$failed" -gt 0 ]; then exit 1; fi
}
trap finish EXIT

source scripts/setup.sh
source scripts/build.sh
# Drives `accelerate config` at a terminal, in one test, which is skipped without.
if ! command -v tmux >/dev/null 2>&1 && command -v apt-get >/dev/null 2>&1; then
  echo "Set-up: installing tmux, at which a test drives a terminal."
  apt_install tmux || echo "Set-up: tmux is left out; its test is skipped."
fi

echo "Building; the first time, NuGet downloads what is missing (libtorch: 130 MB)."
build_native
build_dotnet AccelerateSharp.slnx
for example in examples/*.cs; do build_dotnet "$example"; done

# An attribute of the report's <assembly> element.
attribute() {
  grep -o '<assembly [^>]*>' "$1" | grep -oE " $2=\"[0-9]+\"" | grep -oE '[0-9]+'
}

for project in tests/*Tests/*.csproj; do
  name=$(basename "$project" .csproj)
  report=$reports/$name.xml
  echo "== $name"
  code=0
  # A suite that hangs is ended: half an hour is several times what the longest one needs.
  timeout --kill-after=30 1800 dotnet "artifacts/bin/$name/release/$name.dll" -noLogo -noColor -result-xml "$report" "$@" || code=$?

  if [ ! -s "$report" ]; then
    echo "$name ended with code $code and without a report; counted as one failure."
    failed=$((failed + 1))
    continue
  fi
  not_right=$(($(attribute "$report" failed) + $(attribute "$report" errors)))
  passed=$((passed + $(attribute "$report" passed)))
  skipped=$((skipped + $(attribute "$report" skipped)))
  failed=$((failed + not_right))
  if [ "$code" -ne 0 ] && [ "$not_right" -eq 0 ]; then
    echo "$name reported no failure and still ended with code $code; counted as one failure."
    failed=$((failed + 1))
  fi
done
