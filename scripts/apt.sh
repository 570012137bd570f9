# What the set-up scripts need from apt. Sourced, not run.

# Runs a command as root: directly when we are root, otherwise through sudo.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null 2>&1; then
    sudo "$@"
  else
    echo "This step needs root and there is no sudo here. Run as root: $*" >&2
    return 1
  fi
}

# Reads the package lists, once per run and only when something is to be installed.
apt_refresh() {
  [ -z "${APT_REFRESHED:-}" ] || return 0
  if ! as_root apt-get -qq update >/dev/null; then
    echo "apt-get update failed: the package mirror cannot be reached. Check the network (or the proxy settings) and run this again." >&2
    return 1
  fi
  APT_REFRESHED=1
}

apt_install() {
  apt_refresh && as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@" >/dev/null
}

# The Debian mirror this machine already uses, whatever the format of its sources files.
debian_mirror() {
  # The whole list is read before it is cut: under pipefail an early exit of awk would count as a failure of apt-get.
  apt-get indextargets --format '$(ORIGIN) $(COMPONENT) $(REPO_URI)' 'Identifier: Packages' \
    | awk '$1 == "Debian" && $2 == "main" && $3 !~ /security|backports/ && !found { found = $3 } END { print found }'
}

# apt_with_suite SUITE COMMAND…: apt-get with one Debian suite and nothing else as its source. The source list and the
# package lists live in a folder of their own, so the machine's sources stay as they are.
apt_with_suite() (
  suite=$1; shift
  mirror=$(debian_mirror)
  if [ -z "$mirror" ]; then
    echo "No Debian mirror is named in this machine's apt sources." >&2
    exit 1
  fi
  folder=$(mktemp -d)
  trap 'as_root rm -rf "$folder"' EXIT
  chmod 755 "$folder"
  mkdir -p "$folder/lists/partial"
  keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  if [ -f "$keyring" ]; then signed="[signed-by=$keyring] "; else signed=""; fi
  echo "deb ${signed}$mirror $suite main" > "$folder/sources.list"
  options=(-o "Dir::Etc::sourcelist=$folder/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$folder/lists")
  as_root apt-get -qq "${options[@]}" update >/dev/null
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq "${options[@]}" "$@" >/dev/null
)
