#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Installs what pkcs11signer needs, fetches the headers of the installed PowerDNS, and builds.
# A second run does only what is missing. Everything of ours lands below .build/.
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$top/.build
log=$work/setup.log

packages=(
  # to build
  build-essential autoconf automake libtool pkg-config dpkg-dev libboost-dev libssl-dev
  libp11-kit-dev
  # to run
  pdns-server pdns-tools pdns-backend-sqlite3 pdns-backend-mysql pdns-backend-lmdb pdns-backend-bind
  p11-kit p11-kit-modules softhsm2 opensc
  # to test
  libcmocka-dev clang-format clang-tidy python3 python3-pytest python3-pytest-xdist
  python3-dnspython python3-requests python3-cryptography python3-asn1crypto mariadb-server
  sqlite3 unbound ldnsutils bind9-utils bind9-dnsutils gnutls-bin util-linux
)
# Installing these must not leave one of them running that was not running before.
services=(pdns.service mariadb.service unbound.service pcscd.service pcscd.socket)

usage() {
  echo "usage: setup.sh [--no-build]"
  echo "  --no-build   packages and PowerDNS headers only"
}

say() { echo "== $*"; }

die() {
  echo "setup.sh: $*" >&2
  exit 1
}

# Runs a command with its output in the log, and shows the end of that when it fails.
quietly() {
  "$@" >>"$log" 2>&1 || {
    tail -n 30 "$log" >&2
    die "failed: $* (all of it is in $log)"
  }
}

missing_packages() {
  local p
  for p in "${packages[@]}"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || echo "$p"
  done
}

# The name apt knows a package by; one that this release does not have is left out.
installable() {
  local p
  for p in "$@"; do
    if apt-cache show "$p" >/dev/null 2>&1; then
      echo "$p"
    fi
  done
}

active_services() {
  local s
  [ -d /run/systemd/system ] || return 0
  for s in "${services[@]}"; do
    ! systemctl is-active --quiet "$s" || echo "$s"
  done
}

# Packages ask policy-rc.d whether they may start services. Where there is none, ours says no
# while apt runs.
policy=/usr/sbin/policy-rc.d
our_policy=no
remove_policy() {
  [ "$our_policy" = no ] || rm -f "$policy"
  our_policy=no
}
trap remove_policy EXIT

install_packages() {
  local missing before after s
  mapfile -t missing < <(missing_packages)
  [ "${#missing[@]}" -gt 0 ] || return 0
  [ "$(id -u)" = 0 ] || die "these packages are missing, and only root can install them: ${missing[*]}"
  apt-cache show pdns-server >/dev/null 2>&1 || {
    say "updating the package lists"
    quietly apt-get update
  }
  mapfile -t missing < <(installable "${missing[@]}")
  [ "${#missing[@]}" -gt 0 ] || return 0
  say "installing ${#missing[@]} packages: ${missing[*]}"
  before=$(active_services)
  if [ ! -e "$policy" ]; then
    our_policy=yes
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
  fi
  if ! DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}" \
    >>"$log" 2>&1; then
    say "updating the package lists, as some packages were not to be had"
    quietly apt-get update
    quietly env DEBIAN_FRONTEND=noninteractive \
      apt-get install -y --no-install-recommends "${missing[@]}"
  fi
  remove_policy
  after=$(active_services)
  for s in $after; do
    grep -qx "$s" <<<"$before" || quietly systemctl stop "$s"
  done
}

# The machine's own sources, turned into source package entries. Both formats; options are kept.
source_entries() {
  local file
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    [ -f "$file" ] || continue
    sed -n 's/^[[:space:]]*deb[[:space:]]/deb-src /p' "$file"
  done >"$1/machine.list"
  for file in /etc/apt/sources.list.d/*.sources; do
    [ -f "$file" ] || continue
    cat "$file"
    echo
  done | sed 's/^Types:.*/Types: deb-src/' >"$1/machine.sources"
}

private_apt() {
  local dir=$work/apt
  # No sandbox user: it may not read where we keep things, and says so at each call.
  apt-get -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$dir/sources.d" \
    -o Dir::State::lists="$dir/lists" -o Dir::Cache="$dir/cache" -o APT::Sandbox::User=root "$@"
}

fetch_pdns_source() {
  local version upstream dir
  version=$(dpkg-query -W -f '${source:Version}' pdns-server)
  upstream=${version%-*}
  upstream=${upstream#*:}
  dir=$work/pdns-source/pdns-$upstream
  pdns_source=$dir
  [ ! -f "$dir/.complete" ] || return 0
  say "fetching the source of PowerDNS $version, for its headers"
  rm -rf "$work/apt" "$dir"
  mkdir -p "$work/apt/sources.d" "$work/apt/lists/partial" "$work/apt/cache/archives/partial" \
    "$work/pdns-source"
  source_entries "$work/apt/sources.d"
  # An entry without source packages makes update fail; what counts is whether pdns is found.
  private_apt update >>"$log" 2>&1 || true
  (cd "$work/pdns-source" && quietly private_apt source --download-only "pdns=$version")
  (cd "$work/pdns-source" && quietly dpkg-source --no-check -x "pdns_${version#*:}.dsc" "$dir")
  [ -f "$dir/pdns/dnsbackend.hh" ] || die "the PowerDNS source in $dir is not complete"
  rm -rf "$work/apt"
  touch "$dir/.complete"
}

# autoreconf leaves configure older than its inputs only when they changed.
autotools() {
  local input
  for input in "$top"/configure.ac "$top"/Makefile.am "$top"/m4/p11s_*.m4 \
    "$top"/modules/Makefile.am "$top"/modules/pkcs11signer/Makefile.am "$top"/tests/Makefile.am; do
    if [ ! -x "$top/configure" ] || [ "$input" -nt "$top/configure" ]; then
      say "autoreconf"
      (cd "$top" && quietly autoreconf -fi)
      touch "$top/configure"
      return
    fi
  done
}

build() {
  autotools
  mkdir -p "$work/build"
  cd "$work/build"
  if [ ! -f config.status ] || [ "$top/configure" -nt config.status ] ||
    ! grep -qF "$pdns_source" config.status; then
    say "configure"
    quietly "$top/configure" --enable-werror --with-pdns-source="$pdns_source"
  fi
  say "make"
  quietly make -j"$(nproc)"
}

main() {
  local with_build=yes
  case ${1-} in
  '') ;;
  --no-build) with_build=no ;;
  --help | -h) usage && exit 0 ;;
  *) usage >&2 && exit 2 ;;
  esac
  mkdir -p "$work"
  : >"$log"
  # Debian's own tools, whatever else the machine has in front of them.
  export PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH
  install_packages
  fetch_pdns_source
  [ "$with_build" = no ] || build
  say "ready: ${work#"$top"/}/build/modules/pkcs11signer/.libs/libpkcs11signerbackend.so"
}

main "$@"
