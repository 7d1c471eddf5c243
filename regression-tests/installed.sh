#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The package in the life of a server: a Debian that is booted for it, without a compiler and without a network,
# gets the former version and a signed zone by README.md's own commands, then the new version under load,
# a PowerDNS that the module is not for, and is rid of it all in the end.
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
logs=$top/.build/installed
# shellcheck source=regression-tests/booted.sh
. "$top/regression-tests/booted.sh"

package=pdns-backend-pkcs11signer
state=/var/lib/powerdns/pkcs11signer
system=package
root=$logs/$system/root

usage() {
  echo "usage: installed.sh [--built] [RELEASE]"
  echo "  --built   the package is in .build/package already"
  echo "  Takes root and systemd-nspawn (Debian: systemd-container). Logs: .build/installed."
  echo "  P11S_CHROOTS, P11S_PDNS_SOURCE   as for package.sh, which builds the package"
}

# -- the packages

# The blocks of README.md's way to a signed zone, as one script. What begins with the name of a file is that file.
commands_of_readme() {
  sed -n '/^## From zero to a signed zone/,/^## Moving/p' "$top/README.md" | awk '
    /^```/ { if (file) print "END"; inside = !inside; first = inside; file = 0; next }
    first && /^# \// { file = 1; print "cat >" $2 " <<\"END\"" }
    { first = 0 }
    inside { print }'
}

# The packages that these commands install, but ours.
packages_of_readme() {
  commands_of_readme | sed -e ':a' -e '/\\$/N; s/\\\n//; ta' | sed -nE 's/^apt(-get)? install //p' | tr ' ' '\n' |
    grep -E '^[a-z0-9]' || true
}

# Where they expect ours.
file_of_readme() {
  commands_of_readme | grep -oE "[^ ]*${package}[^ ]*\.deb" | head -n 1
}

# A package as it was before: with another version, the same otherwise.
with_version() { # package file, version, file to be made
  local tree=$logs/former
  rm -rf "$tree"
  dpkg-deb -R "$1" "$tree"
  sed -i "s/^Version: .*/Version: $2/" "$tree/DEBIAN/control"
  dpkg-deb --root-owner-group -b "$tree" "$3" >/dev/null
  rm -rf "$tree"
}

# What apt may offer.
offer() { # package file...
  cp "$@" "$root/srv/offers/"
  (cd "$root/srv/offers" && dpkg-scanpackages --multiversion . >Packages 2>/dev/null)
  inside apt-get update >>"$logs/apt" 2>&1 || true
}

# A system without a network, and all that will be installed there fetched before.
begin() {
  overlay "$release" "$logs/$system"
  mkdir "$root/srv/offers"
  echo "deb [trusted=yes] file:/srv/offers ./" >"$root/etc/apt/sources.list.d/offers.list"
  printf '%s\n' 'APT::Get::Assume-Yes "true";' 'APT::Keep-Downloaded-Packages "true";' \
    'Binary::apt::APT::Keep-Downloaded-Packages "true";' >"$root/etc/apt/apt.conf.d/91test"
  cp "$former" "$root/srv/offers/"
  : >"$root/srv/offers/Packages"
  # One package a word.
  # shellcheck disable=SC2016,SC2046
  in_system "$root" "$chroots/archives-$release:/var/cache/apt/archives" -- sh -ec '
    apt-get update
    apt-get upgrade
    apt-get install --download-only --no-install-recommends "$@"
    apt-get install --download-only "$@"
    ' fetch "/srv/offers/${former##*/}" "${needs[@]}" $(packages_of_readme) >"$logs/fetched" 2>&1 || {
    tail -n 20 "$logs/fetched"
    die "the packages could not be fetched"
  }
  boot "$system" --private-network
}

# -- what an operator does and sees

apt() { # argument...
  inside env DEBIAN_FRONTEND=noninteractive apt-get "$@"
}

# $said is then what the command printed.
succeeds() { # what, command...
  local status=0
  said=$("${@:2}" 2>&1) || status=$?
  echo "$said" >>"$logs/commands"
  verdict "$1" "$status" "$said"
}

says() { # what, text that the last command must have printed
  succeeds "$1" grep -F "$2" <<<"$said"
}

installed_version() { # package
  inside dpkg-query -W -f '${db:Status-Status} ${Version}' "$1" 2>/dev/null || true
}

answers_signed() {
  inside dig @127.0.0.1 +time=5 example.com SOA +dnssec | grep -F RRSIG
}

# What is on the token, and in the database.
keys() {
  inside find /var/lib/softhsm/tokens /var/lib/powerdns -path "$state" -prune -o -type f -exec md5sum {} + | sort
}

restarts() {
  inside journalctl --quiet --no-pager -o cat -u pdns | grep -c '^Started ' || true
}

# The load, while a command runs; $longest is then the longest time without an answer.
under_load() { # what, command...
  local out=$logs/load asking begun
  nsenter --target "$leader" --net /usr/bin/python3 "$top/regression-tests/resolver.py" example.com >"$out" 2>&1 &
  asking=$!
  begun=$(restarts)
  until [ -s "$out" ]; do sleep 0.1; done
  succeeds "$@"
  kill "$asking"
  wait "$asking" || true
  same "$1: all questions were answered and signed" "failed 0" "$(grep -o 'failed [0-9]*' "$out" || cat "$out")"
  same "$1: PowerDNS was restarted once" 1 $(($(restarts) - begun))
  longest=$(sed -n 's/.* \([0-9]*\) ms$/\1/p' "$out")
  echo "        $(tail -n 1 "$out")"
}

# -- the life of a server

# A program behind which somebody types PINs: twice the security officer's, twice the user's.
types() { # program, what it does
  mkdir -p "$root/srv/typist"
  printf '%s\n' '#!/bin/sh' "$2" >"$root/srv/typist/$1"
  chmod 755 "$root/srv/typist/$1"
}

install_by_readme() {
  local expected
  expected=$(file_of_readme)
  [ -n "$expected" ] || die "README.md does not install $package"
  succeeds "no compiler is there" inside sh -c '! command -v cc gcc g++ make'
  mkdir -p "$root/root/$(dirname "$expected")"
  cp "$former" "$root/root/$(dirname "$expected")/"
  types editor 'echo 87654321 >"$1"'
  types softhsm2-util 'printf "%s\n" 12345678 12345678 87654321 87654321 | script -qec "/usr/bin/softhsm2-util $*" /dev/null'
  commands_of_readme >"$root/root/commands"
  succeeds "README's commands lead to a signed zone" \
    inside env PATH=/srv/typist:/usr/sbin:/usr/bin:/sbin:/bin bash -c 'cd /root && bash -O expand_aliases -eux commands'
  says "the package says what to write" "launch=pkcs11signer,gsqlite3"
  same "the former version is installed" "installed $former_version" "$(installed_version "$package")"
  succeeds "answers are signed" answers_signed
  same "the state directory is PowerDNS's alone" "pdns:pdns 700" "$(inside stat -c '%U:%G %a' "$state")"
  same "PowerDNS leaves no core dump with a PIN" "LimitCORE=0" "$(inside systemctl show pdns -p LimitCORE)"
}

upgrade_under_load() {
  local restart
  offer "$new"
  under_load "systemctl restart pdns" inside systemctl restart pdns
  restart=$longest
  under_load "apt-get upgrade" apt upgrade
  same "the new version is installed" "installed $new_version" "$(installed_version "$package")"
  verdict "no answer for $longest ms; a restart takes $restart ms" "$((longest > restart + 3000))" ""
  succeeds "answers are signed" answers_signed
}

# What Debian's machines run on the package.
own_tests() {
  cp -r "$top/debian/tests" "$root/srv/tests"
  chmod -R a+rX "$root/srv/tests"
  succeeds "apt-get install: what debian/tests needs" apt install --no-install-recommends "${needs[@]}"
  succeeds "debian/tests/smoke" inside runuser -u pdns -- sh -c 'cd / && /srv/tests/smoke'
  succeeds "debian/tests/hold" inside /srv/tests/hold
}

go_away() {
  local files before
  before=$(keys)
  mapfile -t files < <(inside dpkg-query -L "$package" | grep pkcs11signer)
  succeeds "apt-get remove" apt remove "$package"
  says "remove says what PowerDNS's configuration still has" "launch=pkcs11signer,gsqlite3"
  succeeds "PowerDNS runs on until it is restarted" answers_signed
  succeeds "the state is kept" inside test -d "$state"
  succeeds "apt-get purge" apt purge "$package"
  says "purge says that keys stay" "keys of pkcs11signer stay on their tokens"
  succeeds "the state is gone" inside test ! -e "$state"
  same "no file is left" "" "$(inside ls -d "${files[@]}" 2>/dev/null || true)"
  same "token and database are as they were" "$before" "$(keys)"
  succeeds "installed again" apt install "$package"
  succeeds "answers are signed again" answers_signed
}

main() {
  local former former_version needs new new_version reason
  local all=("$@") built=''
  case ${1-} in
  --help | -h) usage && exit 0 ;;
  --built) built=yes && shift ;;
  esac
  release=${1:-$(own_release)}
  reason=$(cannot_boot)
  [ -n "$reason" ] || (mkdir -p "$logs" && make_fresh "$release") || reason="Debian could not be fetched"
  if [ -n "$reason" ]; then
    echo "not tested: the package in a fresh system ($reason)"
    echo "$system: 0 passed, 0 failed, 1 skipped"
    exit 0
  fi
  prepare_to_boot ${all[@]+"${all[@]}"}
  : >"$logs/commands"
  [ -n "$built" ] || "$top/package.sh" "$release" || die "the package does not build"
  new=$(find "$top/.build/package" -name "${package}_*~deb$(number "$release")u1_*.deb")
  new_version=$(dpkg-deb -f "$new" Version)
  former_version=0.1.9~$new_version
  former=$logs/${package}_${former_version}_$(dpkg-deb -f "$new" Architecture).deb
  with_version "$new" "$former_version" "$former"
  succeeds "lintian has no error and no warning" \
    lintian --allow-root --fail-on error,warning "$top/.build/package/pkcs11signer_${new_version}_"*.changes
  mapfile -t needs < <(sed -n 's/^Depends: @, //p' "$top/debian/tests/control" | sed 's/, /\n/g')
  begin
  install_by_readme
  upgrade_under_load
  own_tests
  go_away
  halt
  umount "$root"
  rm -rf "${logs:?}/$system"
  echo "$system: $passed passed, $failed failed, 0 skipped"
  [ "$failed" = 0 ]
}

main "$@"
