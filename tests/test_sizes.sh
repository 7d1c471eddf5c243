#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# sizes.sh finds what it is to find, in a tree of one source, and nothing else.
set -eu
sizes=$(cd "$(dirname "$0")" && pwd)/sizes.sh
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

result=0
lines() { yes "${2:-}" | head -n "$1"; }
# What is said of the source on stdin.
expect() { # what is tried, what is said
  cat >"$dir/a.c"
  said=$("$sizes" "$dir") || [ -n "$said" ]
  if [ "$said" = "$2" ]; then
    echo "[       OK ] $1"
  else
    echo "[  FAILED  ] $1: \"$said\" instead of \"$2\""
    result=1
  fi
}

lines 400 | expect "400 lines" ""
lines 401 | expect "401 lines" "a.c:401: more than 400 lines"
{ printf 'int f(void)\n{\n' && lines 60 '  g();' && echo '}'; } | expect "a function of 60 lines" ""
{ printf 'int f(void)\n{\n' && lines 61 '  g();' && echo '}'; } |
  expect "a function of 61 lines" "a.c:64: a function of more than 60 lines"
printf 'int f(int a, int b, int c,\n      int d, int e, int f)\n{\n}\n' | expect "six parameters" ""
printf 'int f(int a, int b, int c,\n      int d, int e, int f, int g);\n' |
  expect "seven parameters" "a.c:2: more than six parameters"
exit "$result"
