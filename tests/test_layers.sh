#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# layers.sh finds what it is to find, in a tree of two folders, and nothing else.
set -eu
layers=$(cd "$(dirname "$0")" && pwd)/layers.sh
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export SYNTAX_C="${CC:-cc} -fsyntax-only -I. -x c" SYNTAX_CXX=

result=0
# What the file FILE with this text is said to be; "" when nothing is.
expect() { # file, text, what is said
  rm -rf "$dir/low" "$dir/high" && mkdir "$dir/low" "$dir/high"
  printf 'low\nhigh\n' >"$dir/layers"
  echo 'struct a { int b; };' | tee "$dir/low/a.h" "$dir/low/a_internal.h" "$dir/high/c.h" >/dev/null
  echo '#include "low/a.h"' | tee "$dir/low/a.c" "$dir/high/c.c" >/dev/null
  echo "$2" >"$dir/$1"
  said=$("$layers" "$dir") || [ -n "$said" ]
  if [ "$said" = "$3" ]; then
    echo "[       OK ] $1: $2"
  else
    echo "[  FAILED  ] $1: $2: \"$said\" instead of \"$3\""
    result=1
  fi
}

expect low/a.c '#include "low/a_internal.h"' ""
expect low/a.c '#include "high/c.h"' "low/a.c: high/c.h is above it"
expect high/c.c '#include "low/a_internal.h"' "high/c.c: low/a_internal.h is internal"
expect high/c.c '#include "a.h"' "high/c.c: a.h without its folder"
expect high/c.h 'struct a d;' "./high/c.h: does not compile by itself"
exit "$result"
