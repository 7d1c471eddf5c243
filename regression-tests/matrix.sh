#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Builds the module in a chroot of each other Debian release, for the PowerDNS that is in there, and
# runs the same tests there. Then each build is put into each PowerDNS: all but its own must refuse.
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
logs=$top/.build/matrix
# shellcheck source=regression-tests/chroots.sh
. "$top/regression-tests/chroots.sh"

# Debian release, its number, the branch of PowerDNS that is in it.
systems=("trixie 13 4.9" "forky 14 5.1")

usage() {
  echo "usage: PDNS_SOURCES=DIR matrix.sh [--build] [RELEASE]... [-- ARGUMENT OF PYTEST...]"
  echo "       PDNS_SOURCES=DIR matrix.sh --run RELEASE COMMAND..."
  echo "       matrix.sh --list"
  echo "  --build        make the chroots and build in them, no tests"
  echo "  PDNS_SOURCES   directory with PowerDNS's sources, unpacked: pdns-4.9*, pdns-5.1*"
  echo "  P11S_CHROOTS   where the chroots are kept; .build/chroot if not set"
  echo "  RELEASE        $(printf '%s\n' "${systems[@]}" | cut -d' ' -f1 | paste -sd' '): all of them"
}

# Runs a command in the chroot, with the tree read-only but for .build.
in_chroot() { # release, command...
  local root=$chroots/$1 source
  source=$(source_of "$1")
  mkdir -p "$root/srv/build"
  in_system "$root" "$top:/srv/pkcs11signer:ro" "$root/srv/build:/srv/pkcs11signer/.build" \
    "$source:/srv/pdns/${source##*/}" "$chroots/builds:/srv/builds" -- \
    P11S_PDNS_SOURCE="/srv/pdns/${source##*/}" "${@:2}"
}

branch_of() { # release
  local entry
  for entry in "${systems[@]}"; do
    [ "${entry%% *}" != "$1" ] || echo "${entry##* }"
  done
}

# The newest source of the release's branch.
source_of() { # release
  find "$PDNS_SOURCES" -mindepth 1 -maxdepth 1 -type d -name "pdns-$(branch_of "$1")*" |
    sort -V | tail -n 1
}

# A copy of a build, under the version it is for.
keep_build() { # directory with .libs, version
  mkdir -p "$chroots/builds/$2"
  cp "$1"/*.so "$chroots/builds/$2/"
}

version_in() { # build directory
  sed -n 's/^#define P11S_PDNS_VERSION "\(.*\)"$/\1/p' "$1/pkcs11signer-config.h"
}

# All builds but this one, as seen from inside a directory.
other_builds() { # directory they are seen in, version
  find "$chroots/builds" -mindepth 1 -maxdepth 1 -type d ! -name "$2" -printf "$1/%f:" |
    sed 's/:$//'
}

build_in() { # release
  local version libs=modules/pkcs11signer/.libs
  say "building in $1, with the headers of $(basename "$(source_of "$1")")"
  in_chroot "$1" /srv/pkcs11signer/setup.sh --tests </dev/null >"$logs/$1.build" 2>&1 || {
    tail -n 40 "$logs/$1.build" >&2
    return 1
  }
  version=$(version_in "$chroots/$1/srv/build/build")
  keep_build "$chroots/$1/srv/build/build/$libs" "$version"
}

# What a user of that release goes through: the headers by apt-get source. Mirrors may lack them.
fetch_in() { # release
  local out=$logs/$1.source
  rm -f "$chroots/$1"/srv/build/pdns-source/*.given
  if in_chroot "$1" env -u P11S_PDNS_SOURCE /srv/pkcs11signer/setup.sh --no-build </dev/null >"$out" 2>&1; then
    echo "$1: setup.sh fetches the headers"
  elif grep -q ' 404 ' "$out" && grep -q 'P11S_PDNS_SOURCE=pdns-' "$out"; then
    echo "$1: the mirror lists PowerDNS's source package and does not have it (404); setup.sh says what to do"
  else
    tail -n 20 "$out" >&2
    return 1
  fi
}

test_in() { # release, arguments of pytest...
  local release=$1 version
  shift
  version=$(version_in "$chroots/$release/srv/build/build")
  say "PowerDNS $version on Debian $release"
  in_chroot "$release" env P11S_OTHER_BUILDS="$(other_builds /srv/builds "$version")" \
    /srv/pkcs11signer/check.sh --only unit-tests,end-to-end "$@" </dev/null 2>&1 |
    tee "$logs/$release.check" | sed "s/^/$release: /"
}

main() {
  local releases=() command=() release result=0 built=() only_build=
  while [ $# -gt 0 ]; do
    case $1 in
    --help | -h) usage && exit 0 ;;
    --list)
      for release in "${systems[@]}"; do
        read -r -a built <<<"$release"
        echo "PowerDNS ${built[2]} (Debian ${built[1]})"
      done
      exit 0
      ;;
    --run)
      command=("${@:3}")
      releases=("$2")
      break
      ;;
    --build) only_build=yes && shift ;;
    --) shift && break ;;
    *)
      [ -n "$(branch_of "$1")" ] || { usage >&2 && exit 2; }
      releases+=("$1") && shift
      ;;
    esac
  done
  [ -n "${PDNS_SOURCES-}" ] || { usage >&2 && exit 2; }
  [ "$(id -u)" = 0 ] || die "chroots want root"
  PDNS_SOURCES=$(cd "$PDNS_SOURCES" && pwd)
  if [ ${#command[@]} -gt 0 ]; then
    in_chroot "${releases[0]}" "${command[@]}"
    return
  fi
  [ ${#releases[@]} -gt 0 ] || mapfile -t releases < <(printf '%s\n' "${systems[@]}" | cut -d' ' -f1)
  mkdir -p "$logs" "$chroots/builds"
  "$top/setup.sh" --tests >"$logs/host.build" || die "setup.sh failed"
  keep_build "$top/.build/build/modules/pkcs11signer/.libs" "$(version_in "$top/.build/build")"
  for release in "${releases[@]}"; do
    [ -n "$(source_of "$release")" ] ||
      die "no source of PowerDNS $(branch_of "$release") (pdns-$(branch_of "$release")*) in $PDNS_SOURCES"
    make_chroot "$release"
    if build_in "$release"; then
      built+=("$release")
    else
      echo "$release: the module does not build" && result=1
    fi
  done
  [ -z "$only_build" ] || return "$result"
  for release in ${built[@]+"${built[@]}"}; do
    fetch_in "$release" || result=1
    test_in "$release" "$@" || result=1
  done
  say "all builds in the PowerDNS of this machine"
  P11S_OTHER_BUILDS=$(other_builds "$chroots/builds" "$(version_in "$top/.build/build")") \
    /usr/bin/python3 -m pytest -p no:cacheprovider -q -rs "$top/regression-tests/install/test_versions.py" ||
    result=1
  return "$result"
}

main "$@"
