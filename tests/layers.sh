#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# layers.sh [DIRECTORY]: whether the sources in it keep to the file `layers` there. Each names the folder of what it
# includes, includes nothing of a folder above its own and no other folder's *internal.h, and each header compiles by
# itself. SYNTAX_C and SYNTAX_CXX in the environment: the compilers' commands for that. Prints what is not so.
set -u
cd "${1:-$(dirname "$0")/../modules/pkcs11signer}" || exit 1
found=$(mktemp) || exit 1
trap 'rm -f "$found"' EXIT

find . -name '*.[ch]' -o -name '*.cc' -o -name '*.hh' | sed 's,^\./,,' | sort |
  xargs grep -H '^#include "' | awk -F '[:"]' '
  function top(path) { sub(/\/.*/, "", path); return path }
  function place(path) { sub(/[^\/]*$/, "", path); return path }
  BEGIN {
    while ((getline line < "layers") > 0) {
      if (line ~ /^(#|$)/)
        continue
      name = allowed = line
      sub(/:.*/, "", name)
      if (!sub(/:/, "", allowed))
        allowed = lower = lower " " name
      n = split(allowed, word, " ")
      for (i = 1; i <= n; i++)
        may[name, word[i]] = 1
      known[word[2], word[3]] = name == "known"
    }
  }
  $3 == "pkcs11signer-config.h" || known[$1, $3] { next }
  $3 !~ /\// { print $1 ": " $3 " without its folder"; next }
  !((top($1), top($3)) in may) { print $1 ": " $3 " is above it" }
  $3 ~ /internal\.h$/ && place($1) != place($3) { print $1 ": " $3 " is internal" }' >"$found"

headers() { # suffix, command
  [ -z "$2" ] || find . -name "*.$1" | sort | xargs -P "$(getconf _NPROCESSORS_ONLN)" -I '{}' sh -c \
    "$2 -include '{}' /dev/null >/dev/null 2>&1 || echo '{}: does not compile by itself'" >>"$found"
}
headers h "${SYNTAX_C-}"
headers hh "${SYNTAX_CXX-}"
cat "$found"
[ ! -s "$found" ]
