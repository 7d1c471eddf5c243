#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# fuzz.sh PDNS_SOURCE: builds the fuzz targets with libFuzzer and sanitizers in .build/fuzz, and runs
# one after the other for FUZZ_SECONDS (60), or those in FUZZ_TARGETS. Fails when one found something.
set -u

pdns_source=$1
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
work=$top/.build/fuzz
seconds=${FUZZ_SECONDS:-60}
: "${FUZZ_TARGETS:=$(ls "$here/corpus")}"
# From the outer make: its build is another.
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES

die() {
  echo "fuzz.sh: $*" >&2
  exit 1
}

build() {
  mkdir -p "$work/build" "$work/found" || return
  cd "$work/build" || return
  if [ ! -f config.status ] || [ "$top/configure" -nt config.status ]; then
    CC=clang CXX=clang++ CFLAGS="-g -O1" CXXFLAGS="-g -O1" "$top/configure" --enable-fuzzers \
      --enable-sanitizers=address,undefined --with-pdns-source="$pdns_source" || return
  fi
  make -j"$(nproc)" -C modules/pkcs11signer libp11score.la &&
    make -j"$(nproc)" -C tests/fuzz programs
}

# What it found goes into the corpus of the next run, and inputs that break it into found/.
fuzz() { # target
  corpus=$work/corpus/$1
  mkdir -p "$corpus" || return
  set -- "$1" -max_total_time="$seconds" -max_len=4096 -timeout=20 -rss_limit_mb=1024 \
    -malloc_limit_mb=256 -artifact_prefix="$work/found/$1-" -print_final_stats=1
  if [ -f "$here/dictionary/$1" ]; then
    set -- "$@" -dict="$here/dictionary/$1"
  fi
  name=$1
  shift
  "$work/build/tests/fuzz/fuzz_$name" "$@" "$corpus" "$here/corpus/$name"
}

echo "== building the fuzz targets in ${work#"$top"/}/build"
mkdir -p "$work" || exit 1
build >"$work/build.log" 2>&1 || {
  tail -n 20 "$work/build.log" >&2
  die "the build failed: all of it is in $work/build.log"
}
broken=
for target in $FUZZ_TARGETS; do
  log=$work/$target.log
  echo "== $target: $seconds s"
  touch "$work/before"
  # Progress to the terminal, everything to the log.
  { fuzz "$target" 2>&1; echo "exit status $?"; } | tee "$log" |
    grep --line-buffered -E '^#[0-9]+[[:space:]]+(INITED|pulse|DONE)|^stat::(number|average|peak)|ERROR|SUMMARY|broken promise|runtime error'
  if [ "$(tail -n 1 "$log")" != "exit status 0" ]; then
    broken="$broken $target"
    find "$work/found" -name "$target-*" -newer "$work/before" -exec echo "kept:" {} \;
    echo "$target failed: $log"
  fi
done
[ -z "$broken" ] || die "findings in:$broken"
