#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Builds the Debian package: for this machine's release with the packages that it needs for that, for
# another one in a chroot.
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
results=$top/.build/package
logs=$results
# shellcheck source=regression-tests/chroots.sh
. "$top/regression-tests/chroots.sh"

usage() {
  echo "usage: package.sh [--version VERSION] [bookworm|trixie|forky]"
  echo "  Builds the Debian package for that release; for this machine's if none is named. It lands in .build/package."
  echo "  For another release it is built in a chroot, which takes root and is made if it is not there."
  echo "  --version VERSION       another one than debian/changelog has"
  echo "  P11S_PDNS_SOURCE=DIR    the unpacked source of that release's PowerDNS, where its package sources do not have it"
  echo "  P11S_CHROOTS            where the chroots are kept; .build/chroot if not set"
}

build() { # release
  local ready tree out=$results/work-$1
  ready=$("$top/setup.sh" --package | tee /dev/stderr | sed -n 's/^== ready: //p')
  P11S_PDNS_SOURCE=$(cd "$top" && cd "$ready" && pwd)
  export P11S_PDNS_SOURCE
  # The unit tests are check.sh's; an empty variable has them run here, too.
  export DEB_BUILD_OPTIONS=${DEB_BUILD_OPTIONS-nocheck}
  version=${version:-$(dpkg-parsechangelog -l "$top/debian/changelog" -S Version)}~deb${number}u1
  tree=$out/pkcs11signer-$version
  rm -rf "$out" "$results"/*"~deb${number}u1"[._]*
  copy_tree "$tree"
  sed -i "1s/(.*) [a-z]*;/($version) $1;/" "$tree/debian/changelog"
  say "building pdns-backend-pkcs11signer $version"
  cd "$tree"
  dpkg-buildpackage -us -uc >"$logs/$1.build" 2>&1 || {
    tail -n 30 "$logs/$1.build" >&2
    die "the package could not be built ($logs/$1.build)"
  }
  cd "$top"
  rm -rf "$tree"
  mv "$out"/* "$results/"
  rm -rf "$out"
}

build_in_chroot() { # release
  local system=$results/system-$1 source=${P11S_PDNS_SOURCE-} binds=() environment=()
  if [ -n "$source" ]; then
    binds+=("$source:/srv/pdns/${source##*/}")
    environment+=(P11S_PDNS_SOURCE="/srv/pdns/${source##*/}")
  fi
  overlay "$1" "$system"
  copy_tree "$system/root/srv/pkcs11signer"
  in_system "$system/root" "$chroots/archives-$1:/var/cache/apt/archives" \
    "$results:/srv/pkcs11signer/.build/package" ${binds[@]+"${binds[@]}"} -- \
    ${environment[@]+"${environment[@]}"} ${DEB_BUILD_OPTIONS+DEB_BUILD_OPTIONS="$DEB_BUILD_OPTIONS"} \
    /srv/pkcs11signer/package.sh ${version:+--version "$version"} "$1"
  umount "$system/root"
  rm -rf "$system"
}

version='' release=$(own_release)
all=("$@")
while [ $# -gt 0 ]; do
  case $1 in
  --help | -h) usage && exit 0 ;;
  --version) version=$2 && shift ;;
  *) release=$1 ;;
  esac
  shift
done
number=$(number "$release") || { usage >&2 && exit 2; }
mkdir -p "$results"
if [ "$release" = "$(own_release)" ]; then
  build "$release"
else
  [ "$(id -u)" = 0 ] || die "a chroot wants root"
  make_fresh "$release"
  private ${all[@]+"${all[@]}"}
  build_in_chroot "$release"
fi
say "ready: $(cd "$top" && echo .build/package/pdns-backend-pkcs11signer_*"~deb${number}u1_"*.deb)"
