#!/usr/bin/env bash
# Makes a folder with PyTorch from Debian 13, to compare with on the CPU, and runs programs in it.
#
#   scripts/python-peer.sh [--folder DIR]                 makes it (about 1.6 GB, one or two minutes), if it is not there
#   scripts/python-peer.sh [--folder DIR] run PROGRAM …   runs `python3 PROGRAM …` inside; PROGRAM is a path in this repository
#
# The folder is a debootstrap of the Debian mirror this machine uses (root needed); nothing of the machine itself changes
# except that debootstrap is installed when it is missing. Default folder: data/python-peer.
set -euo pipefail
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$repository/scripts/apt.sh"

folder=$repository/data/python-peer
if [ "${1:-}" = --folder ]; then folder=$2; shift 2; fi

if [ ! -e "$folder/.complete" ]; then
  apt_refresh
  if ! command -v debootstrap >/dev/null 2>&1; then
    echo "Installing debootstrap: it makes the folder for Python."
    apt_install debootstrap
  fi
  mirror=$(debian_mirror)
  # An explicit mirror must have been named: debootstrap would otherwise choose one by itself.
  [ -n "$mirror" ] || { echo "No Debian mirror is named in this machine's apt sources." >&2; exit 1; }
  echo "Making $folder: PyTorch of Debian 13, about 1.6 GB."
  as_root rm -rf "$folder"
  mkdir -p "$folder"
  # Without the threaded OpenBLAS the reference BLAS is used, twenty times slower, and the comparison would be unfair.
  # The log stands outside the folder, which must be empty.
  log=$(mktemp)
  if ! as_root debootstrap --variant=minbase --include=python3-torch,python3-safetensors,libopenblas0-pthread \
      trixie "$folder" "$mirror" >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "debootstrap failed; the whole log is $log." >&2
    exit 1
  fi
  rm -f "$log"
  as_root touch "$folder/.complete"
fi

if [ "${1:-}" != run ]; then
  echo "PyTorch is in $folder."
  exit 0
fi
shift

program=$1; shift
# /proc, without which torch sees no AVX, and the repository are mounted in a mount namespace that ends with the program.
exec_inside='
  mount -t proc proc "$1/proc"
  mount --rbind /dev "$1/dev"
  mkdir -p "$1/repository"
  mount --bind "$2" "$1/repository"
  folder=$1; program=$3; shift 3
  exec chroot "$folder" /usr/bin/env -i PATH=/usr/bin:/bin HOME=/root USE_LIBUV=0 PYTHONDONTWRITEBYTECODE=1 \
    OMP_NUM_THREADS="${OMP_NUM_THREADS:-}" GLOO_SOCKET_IFNAME=lo python3 "/repository/$program" "$@"
'
# sudo keeps no environment: the thread count is handed over by name.
as_root env OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" unshare --mount bash -c "$exec_inside" peer "$folder" "$repository" "$program" "$@"
