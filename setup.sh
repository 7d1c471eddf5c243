#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Installs what pkcs11signer needs, fetches the headers of the installed PowerDNS, and builds.
# A second run does only what is missing. Everything of ours lands below .build/.
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
pdns_version=
work=$top/.build
log=$work/setup.log
with_tests=

# To build and to run, and for demo.sh.
packages=(
  build-essential autoconf automake libtool pkg-config dpkg-dev libboost-dev libssl-dev
  libp11-kit-dev liblmdb-dev libmariadb-dev libsodium-dev
  pdns-server pdns-backend-sqlite3 sqlite3 p11-kit softhsm2 bind9-dnsutils
)
# --mysql
mysql_packages=(pdns-backend-mysql mariadb-server-core mariadb-client-core)
# --card
card_packages=(opensc opensc-pkcs11 pcscd vsmartcard-vpcd iproute2 util-linux)
# --tests: check.sh, make fuzz, make bench and make profile
test_packages=(
  libcmocka-dev clang-format clang-tidy python3 python3-pytest python3-pytest-xdist
  python3-dnspython python3-requests python3-cryptography python3-asn1crypto mariadb-server
  unbound ldnsutils bind9-utils gnutls-bin ca-certificates gdb
  p11-kit-modules faketime curl
  swtpm libtss2-tcti-swtpm0 tpm2-abrmd dbus-daemon dbus-bin
  opencryptoki libnss3 libnss3-tools libengine-pkcs11-openssl
  clang libclang-rt-dev
  dnsperf gnuplot-nox valgrind
  debhelper lintian debootstrap systemd-container
  bash-completion man-db zsh
)
# --tests, too: unpacked below .build/. Installed, they would be in every PowerDNS of this machine:
# p11-kit loads the first, which with the second waits 25 s for its resource manager where there is no TPM;
# the others put themselves into launch.
unpacked_packages=(libtpm2-pkcs11-1 libtss2-tcti-tabrmd0 pdns-backend-bind pdns-backend-lmdb)

# --package: what debian/control says.
package_packages() {
  sed -nE '/^Build-Depends:/,/^[^ B]/ s/^(Build-Depends:)? +([^ ,]+).*/\2/p' "$top/debian/control" |
    sed 's/^debhelper-compat$/debhelper/'
  echo build-essential
}

usage() {
  echo "usage: setup.sh [--tests] [--mysql] [--card] [--no-build] | --package"
  echo "  Installs what building and running need, fetches the headers of the installed PowerDNS, and builds."
  echo "  --tests      what tests, fuzzing and measuring need, too; check.sh does it"
  echo "  --mysql      what demo.sh --mysql needs, too"
  echo "  --card       what demo.sh --card needs, too"
  echo "  --no-build   packages and PowerDNS headers only"
  echo "  --package    packages and PowerDNS headers that package.sh needs, only"
  echo "  P11S_PDNS_SOURCE=DIR in the environment: the unpacked source of PowerDNS, not to be fetched."
  echo "  It may be of another release of the same branch; what comes of that, the tests must show."
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

# The packages that are installed, and the names that they go by, too: a library's may have changed.
installed_names() {
  dpkg-query -W -f '${db:Status-Status}, ${Package}, ${Provides}\n' |
    sed -n 's/^installed, //p' | tr , '\n' | sed 's/(.*//; s/ //g'
}

missing_packages() { # package...
  comm -23 <(printf '%s\n' "$@" | sort) <(installed_names | sort)
}

# Those that apt knows: a name that this release does not have is left out.
installable() {
  local p
  for p in "$@"; do
    if apt-cache show "$p" >/dev/null 2>&1; then
      echo "$p"
    fi
  done
}

# Whatever starts something at boot, a line each.
starts_at_boot() {
  {
    find /etc/systemd -type l \( -path '*.wants/*' -o -path '*.requires/*' \)
    find /etc/rc[2-5].d -name 'S*' -printf '/etc/init.d/%f\n' | sed -E 's,/S[0-9]+,/,'
  } 2>/dev/null | sort -u || true
}

# What starts at boot since $before was set, apt has enabled: not any more, and it does not run now.
before=
nothing_starts() {
  local it unit units=()
  [ -n "$before" ] || return 0
  while read -r it; do
    unit=${it##*/}
    case $it in
    /etc/init.d/*) update-rc.d "$unit" disable >>"$log" 2>&1 || true ;;
    /*) rm -f "$it" && units+=("$unit") ;;
    esac
  done < <(comm -13 <(echo "$before") <(starts_at_boot))
  before=
  [ "${#units[@]}" -gt 0 ] || return 0
  mapfile -t units < <(printf '%s\n' "${units[@]}" | sort -u)
  if [ -d /run/systemd/system ]; then
    systemctl daemon-reload >>"$log" 2>&1 || true
    systemctl stop "${units[@]}" >>"$log" 2>&1 || true
  fi
  say "not started, nor at boot until you systemctl enable it: ${units[*]}"
}

# Packages ask policy-rc.d whether they may start services. Where there is none, ours says no
# while apt runs.
policy=/usr/sbin/policy-rc.d
policy_mark="# pkcs11signer setup.sh: goes when it ends"
remove_policy() {
  # By its mark, so that one left by a run that was killed goes too.
  if grep -qsxF "$policy_mark" "$policy"; then
    rm -f "$policy"
  fi
}
place_policy() {
  remove_policy
  [ ! -e "$policy" ] || return 0
  printf '#!/bin/sh\n%s\nexit 101\n' "$policy_mark" >"$policy"
  chmod 755 "$policy"
}

apt_install() {
  # No stdin, and the admin's own changes to a conffile stay: no questions.
  DEBIAN_FRONTEND=noninteractive apt-get -y --no-install-recommends \
    -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confdef \
    -o Dpkg::Options::=--force-confold install "$@" </dev/null 9>&-
}

clean_up() {
  remove_policy
  nothing_starts
}

install_packages() { # package...
  local missing names
  [ $# -gt 0 ] || return 0
  mapfile -t missing < <(missing_packages "$@")
  [ "${#missing[@]}" -gt 0 ] || return 0
  if [ "$(id -u)" != 0 ]; then
    # Perhaps this release does not have them; what is really needed, configure asks for.
    mapfile -t names < <(installable "${missing[@]}")
    [ "${#names[@]}" = 0 ] ||
      die "these packages are missing, and only root can install them: ${names[*]}"
    return 0
  fi
  apt-cache show pdns-server >/dev/null 2>&1 || update_lists
  mapfile -t names < <(installable "${missing[@]}")
  [ "${#names[@]}" -gt 0 ] || return 0
  say "installing ${#names[@]} packages: ${names[*]}"
  trap clean_up EXIT
  before=$(echo . && starts_at_boot)
  place_policy
  if ! apt_install "${names[@]}" >>"$log" 2>&1; then
    # Old lists name files that are gone.
    update_lists
    quietly apt_install "${names[@]}"
  fi
  clean_up
}

# The version of a package to be unpacked: of PowerDNS's backends, that of the server.
version_to_unpack() { # package
  case $1 in
  pdns-*) dpkg-query -W -f '${Version}' pdns-server ;;
  *) apt-cache show --no-all-versions "$1" 2>/dev/null | sed -n 's/^Version: //p' ;;
  esac
}

# Unpacks packages that are not installed where the tests look for them, and installs what these need.
unpack_packages() {
  local p version root=$work/unpacked missing needed
  mapfile -t missing < <(missing_packages "$@")
  [ "${#missing[@]}" = 0 ] || apt-cache show pdns-server >/dev/null 2>&1 || update_lists
  for p in ${missing[@]+"${missing[@]}"}; do
    version=$(version_to_unpack "$p")
    if [ -z "$version" ] || [ "$(cat "$root/$p.version" 2>/dev/null)" = "$version" ]; then
      continue
    fi
    say "unpacking $p $version"
    rm -rf "$work/download" "${root:?}/$p"
    mkdir -p "$work/download" "$root"
    cd "$work/download"
    quietly apt-get -o APT::Sandbox::User=root download "$p=$version"
    needed=$(apt-get --simulate satisfy "$(dpkg-deb -f ./*.deb Depends)" 2>>"$log" | sed -n 's/^Inst \([^ ]*\).*/\1/p')
    # One package a word.
    # shellcheck disable=SC2086
    install_packages $needed
    quietly dpkg-deb -x ./*.deb "$root/$p"
    cd "$top"
    rm -rf "$work/download"
    echo "$version" >"$root/$p.version"
  done
}

update_lists() {
  say "updating the package lists"
  # One source that does not answer is no reason to stop: the packages may be in the others.
  apt-get -o DPkg::Lock::Timeout=300 update >>"$log" 2>&1 || true
}

# The machine's own sources, of packages turned into of their source. Both formats; options are kept.
source_entries() {
  local file
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    [ -f "$file" ] || continue
    sed -nE 's/^[[:space:]]*deb(-src)?[[:space:]]/deb-src /p' "$file"
  done | sort -u >"$1/machine.list"
  for file in /etc/apt/sources.list.d/*.sources; do
    [ -f "$file" ] || continue
    cat "$file"
    echo
  done | sed 's/^Types:.*/Types: deb-src/I' >"$1/machine.sources"
}

private_apt() {
  local dir=$work/apt
  # No sandbox user: it may not read where we keep things, and apt says so at each call.
  apt-get -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$dir/sources.d" \
    -o Dir::State::lists="$dir/lists" -o Dir::Cache="$dir/cache" -o APT::Sandbox::User=root \
    -o Acquire::http::Timeout=30 -o Acquire::https::Timeout=30 "$@" </dev/null
}

# Sets pdns_source, and pdns_version where the source may be of another release. The source is complete when it holds the
# name of its version. The one that was given in the environment is of use to later runs, too.
fetch_pdns_source() {
  local version upstream dir given download=$work/apt/download
  version=$(dpkg-query -W -f '${source:Version}' pdns-server 2>/dev/null) ||
    die "pdns-server is not installed"
  upstream=${version#*:}
  upstream=${upstream%-*}
  dir=$work/pdns-source/pdns-$upstream
  given=$dir.given
  mkdir -p "$work/pdns-source"
  if [ -n "${P11S_PDNS_SOURCE-}" ]; then
    [ -f "$P11S_PDNS_SOURCE/pdns/dnsbackend.hh" ] ||
      die "P11S_PDNS_SOURCE=$P11S_PDNS_SOURCE is not the source of PowerDNS"
    ln -sfn "$(cd "$P11S_PDNS_SOURCE" && pwd)" "$given"
  elif [ "$(cat "$dir/.complete" 2>/dev/null)" = "$version" ]; then
    pdns_source=$dir
    return 0
  fi
  if [ -f "$given/pdns/dnsbackend.hh" ]; then
    pdns_source=$(readlink "$given")
    pdns_version=$upstream
    return 0
  fi
  pdns_source=$dir
  say "fetching the source of PowerDNS $version, for its headers"
  rm -rf "$work/apt" "$dir"
  mkdir -p "$work/apt/sources.d" "$work/apt/lists/partial" "$work/apt/cache/archives/partial" \
    "$download"
  source_entries "$work/apt/sources.d"
  # A source without source packages makes update fail; what counts is whether pdns is found.
  private_apt update >>"$log" 2>&1 || true
  cd "$download"
  private_apt source --download-only --only-source "pdns=$version" >>"$log" 2>&1 || {
    tail -n 10 "$log" >&2
    die "the source of PowerDNS $version, for its headers, could not be had from this machine's package" \
      "sources; above is what apt says. If they no longer offer that version, upgrade pdns-server and run" \
      "setup.sh again. If they offer no source packages at all, get PowerDNS's source yourself:
  git clone --depth 1 --branch auth-$upstream https://github.com/PowerDNS/pdns pdns-$upstream
  P11S_PDNS_SOURCE=pdns-$upstream $(printf '%q' "$top/setup.sh")
Each later run finds it there."
  }
  # Checksums were apt's to check.
  quietly dpkg-source --no-check --no-copy -x "pdns_${version#*:}.dsc" "$dir"
  cd "$top"
  [ -f "$dir/pdns/dnsbackend.hh" ] || die "the PowerDNS source in $dir is not complete"
  rm -rf "$work/apt"
  echo "$version" >"$dir/.complete"
}

# autoreconf leaves configure older than its inputs only when they changed.
autotools() {
  local input
  for input in "$top"/configure.ac "$top"/Makefile.am "$top"/m4/p11s_*.m4 \
    "$top"/modules/Makefile.am "$top"/modules/pkcs11signer/Makefile.am "$top"/tests/Makefile.am \
    "$top"/tests/fuzz/Makefile.am; do
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
  # What tests need was perhaps not there yet when it was configured.
  if [ ! -f config.status ] || [ "$top/configure" -nt config.status ] ||
    ! grep -qF "$pdns_source" config.status || { [ -n "$with_tests" ] && [ ! -e with-tests ]; }; then
    say "configure"
    quietly "$top/configure" --enable-werror --with-mysql --with-pdns-source="$pdns_source" \
      ${pdns_version:+--with-pdns-version="$pdns_version"}
    [ -z "$with_tests" ] || touch with-tests
  fi
  say "make"
  quietly make -j"$(nproc)"
}

main() {
  local with_build=yes
  while [ $# -gt 0 ]; do
    case $1 in
    --tests) with_tests=yes ;;
    --mysql) packages+=("${mysql_packages[@]}") ;;
    --card) packages+=("${card_packages[@]}") ;;
    --no-build) with_build=no ;;
    --package)
      with_build=no
      mapfile -t packages < <(package_packages)
      ;;
    --help | -h) usage && exit 0 ;;
    *) usage >&2 && exit 2 ;;
    esac
    shift
  done
  [ -z "$with_tests" ] || packages+=("${mysql_packages[@]}" "${card_packages[@]}" "${test_packages[@]}")
  mkdir -p "$work"
  [ -w "$work" ] || die "$work belongs to another user: run setup.sh as that one, or as root"
  # demo.sh and check.sh call this too, perhaps at the same time. (A daemon that apt starts must
  # not inherit the lock, so apt gets no descriptor 9.)
  exec 9>"$work/lock"
  flock 9
  : >"$log"
  # Debian's own tools, whatever else the machine has in front of them, and their English.
  export PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH LC_ALL=C.UTF-8
  install_packages "${packages[@]}"
  [ -z "$with_tests" ] || unpack_packages "${unpacked_packages[@]}"
  fetch_pdns_source
  if [ "$with_build" = no ]; then
    say "ready: ${pdns_source#"$top"/}"
    return
  fi
  build
  say "ready: ${work#"$top"/}/build/modules/pkcs11signer/.libs/libpkcs11signerbackend.so"
}

main "$@"
