# Installs what is missing to build and run this repository, and says what and why. Sourced by demo.sh and test.sh; does
# nothing, in a fraction of a second, when all is there. Runs on Debian 12, Debian 13 and Ubuntu 24.04; elsewhere it names
# what to install by hand.
#
# Needed: .NET SDK 10; g++, cmake and Gloo's headers for the CPU collectives (native/gloo); a libstdc++ of GCC 13 or newer
# for TorchSharp; two data packages for the examples, unpacked under data/ and never installed.
set -euo pipefail
setup_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$setup_root/scripts/apt.sh"

setup_fail() {
  echo "Set-up: $1" >&2
  exit 1
}

setup_require_apt() {
  command -v apt-get >/dev/null 2>&1 || setup_fail "$1"
}

setup_dotnet() {
  if ! command -v dotnet >/dev/null 2>&1 && [ -x "$HOME/.dotnet/dotnet" ]; then
    export DOTNET_ROOT=$HOME/.dotnet PATH=$HOME/.dotnet:$PATH
  fi
  if command -v dotnet >/dev/null 2>&1 && dotnet --list-sdks | grep -q '^10\.'; then return 0; fi

  local advice="the .NET SDK 10 is missing. Install it (package dotnet-sdk-10.0, or the installer of the .NET site) and run this again."
  setup_require_apt "$advice"
  apt_refresh
  [ -n "$(apt-cache search --names-only '^dotnet-sdk-10\.0$')" ] || setup_fail "$advice This machine's package sources do not offer it."
  echo "Set-up: installing the .NET SDK 10, which builds everything here."
  apt_install dotnet-sdk-10.0
}

setup_toolchain() {
  local missing=()
  command -v g++ >/dev/null 2>&1 || missing+=(g++)
  command -v cmake >/dev/null 2>&1 || missing+=(cmake)
  [ -e /usr/include/gloo/config.h ] || [ -e /usr/local/include/gloo/config.h ] || missing+=(libgloo-dev)
  [ ${#missing[@]} -gt 0 ] || return 0

  setup_require_apt "missing: ${missing[*]}. Install a C++ compiler, CMake and Gloo with its headers."
  echo "Set-up: installing ${missing[*]}, which build the CPU collectives in native/gloo."
  if ! apt_install "${missing[@]}" make; then
    # A Debian 12 whose C library is Debian 13's already (see setup_libstdcxx) takes its compiler from there too.
    setup_has_gcc13 || setup_fail "${missing[*]} could not be installed; what apt-get said is above."
    echo "Set-up: not from this release; trying Debian 13, where this machine's C library is from."
    apt_with_suite trixie install -y --no-install-recommends -t trixie "${missing[@]}" make
  fi
}

setup_has_gcc13() {
  local library
  library=$(PATH=$PATH:/usr/sbin:/sbin ldconfig -p | awk '$1 == "libstdc++.so.6" && /x86-64|AArch64/ && !found { found = $NF } END { print found }')
  [ -n "$library" ] && grep -q 'GLIBCXX_3\.4\.32' "$library"
}

# After the toolchain: the Debian 13 library brings the C library of Debian 13, and a compiler of Debian 12 installs only
# beside its own (installed before, it is upgraded along).
setup_libstdcxx() {
  ! setup_has_gcc13 || return 0
  local advice="TorchSharp needs the C++ library of GCC 13 or newer (GLIBCXX_3.4.32), and this system's libstdc++.so.6 is older. \
Use Debian 12 or newer, Ubuntu 24.04 or newer, or Fedora 38 or newer."
  setup_require_apt "$advice"
  apt_refresh
  [ -n "$(debian_mirror)" ] || setup_fail "$advice"
  echo "Set-up: installing libstdc++6 of Debian 13, because TorchSharp needs GLIBCXX_3.4.32 (GCC 13) and this release has an older one."
  apt_with_suite trixie install -y --no-install-recommends -t trixie libstdc++6
  setup_has_gcc13 || setup_fail "$advice"
}

# setup_data PACKAGE FILE TARGET: one gzipped file out of a Debian package, unpacked to data/TARGET; the licence beside it.
setup_data() {
  local package=$1 file=$2 target=$setup_root/data/$3 folder
  [ ! -s "$target" ] || return 0
  setup_require_apt "$target is missing; it is $file of the Debian package $package, unpacked."
  apt_refresh
  echo "Set-up: fetching data/$3 for the examples, from the package $package (not installed)."
  folder=$(mktemp -d)
  # Downloading needs no root, and unpacked in a folder of its own it changes nothing in the system.
  if ! (cd "$folder" && apt-get -qq -o APT::Sandbox::User=root download "$package" >/dev/null && dpkg -x ./"$package"_*.deb .); then
    rm -rf "$folder"
    setup_fail "the package $package could not be fetched (apt-get says why above; on Ubuntu it is in the component universe)."
  fi
  mkdir -p "$(dirname "$target")"
  gzip -dc "$folder/$file" > "$target.part"
  cp "$folder/usr/share/doc/$package/copyright" "$(dirname "$target")/copyright"
  mv "$target.part" "$target"
  rm -rf "$folder"
}

setup_dotnet
setup_toolchain
setup_libstdcxx
setup_data jargon-text usr/share/doc/jargon-text/jargon.txt.gz text/jargon.txt
setup_data python3-sklearn usr/lib/python3/dist-packages/sklearn/datasets/data/digits.csv.gz digits/digits.csv
