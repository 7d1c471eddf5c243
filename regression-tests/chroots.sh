# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Debian systems in directories, for matrix.sh and fresh.sh, which source this and set: top, the tree;
# logs, a directory. They stay for the next run: .build/chroot, or P11S_CHROOTS. They are gigabytes.

# shellcheck disable=SC2154
chroots=${P11S_CHROOTS:-$top/.build/chroot}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

say() { echo "== $*"; }

die() {
  echo "${0##*/}: $*" >&2
  exit 1
}

# The mirror of the machine's own Debian packages.
mirror() {
  # shellcheck disable=SC2016
  apt-get indextargets --format '$(REPO_URI) $(LABEL)' 'Created-By: Packages' |
    sed -n 's/ Debian$//p' | head -n 1
}

need_debootstrap() {
  command -v debootstrap >/dev/null ||
    apt-get install -y --no-install-recommends debootstrap debian-archive-keyring >"$logs/apt" 2>&1 ||
    die "debootstrap is missing, and could not be installed ($logs/apt)"
}

make_chroot() { # release, option of debootstrap...
  local root=$chroots/$1 script=/usr/share/debootstrap/scripts/$1 from
  [ ! -e "$root/.complete" ] || return 0
  from=$(mirror)
  [ -n "$from" ] || die "apt has no package source of Debian"
  # A bookworm does not know forky, and all releases are made as sid is.
  [ -e "$script" ] || script=/usr/share/debootstrap/scripts/sid
  say "making a chroot of $1 in $root"
  rm -rf "$root"
  mkdir -p "$root"
  debootstrap --variant=minbase --keyring="$keyring" "${@:2}" "$1" "$root" "$from" "$script" \
    >"$logs/$1.debootstrap" 2>&1 || {
    tail -n 20 "$logs/$1.debootstrap" >&2
    die "debootstrap of $1 failed"
  }
  # A mirror may lag behind the date until which its index of a moving release is valid.
  echo 'Acquire::Check-Valid-Until "false";' >"$root/etc/apt/apt.conf.d/90no-date"
  echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/90unsafe-io"
  grep -qs localhost "$root/etc/hosts" || echo "127.0.0.1 localhost" >>"$root/etc/hosts"
  touch "$root/.complete"
}
