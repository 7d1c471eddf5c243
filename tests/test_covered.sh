#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# covered.sh finds what it is to find, in a tree of two sources, and nothing else.
set -eu
covered=$(cd "$(dirname "$0")" && pwd)/covered.sh
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

mkdir -p "$dir/modules/pkcs11signer/low" "$dir/tests/low" "$dir/regression-tests/low"
touch "$dir/modules/pkcs11signer/low/a.c" "$dir/modules/pkcs11signer/low/b.c" "$dir/tests/low/test_a.c" \
  "$dir/regression-tests/low/test_b.py"
printf 'unit_tests = \\\n\tlow/test_a \\\n\tlow/test_of_two\n' >"$dir/tests/Makefile.am"
result=0
# What is said of a README with these rows.
expect() { # rows, what is said
  printf '%b\n' "$1" >"$dir/tests/README.md"
  said=$("$covered" "$dir") || [ -n "$said" ]
  if [ "$said" = "$2" ]; then
    echo "[       OK ] $1"
  else
    echo "[  FAILED  ] $1: \"$said\" instead of \"$2\""
    result=1
  fi
}

# Backquotes of Markdown.
# shellcheck disable=SC2016
{
  readme='tests/README.md:'
  expect '| `low/b.c` | `low/test_a.c` |' ""
  expect '| `low/b.c` | `low/test_a.c`, `regression-tests/low/test_b.py` |' ""
  expect 'no table' "low/b.c: neither tests/low/test_b.c nor a row in tests/README.md"
  expect '| `low/b.c` | |' "$readme low/b.c without a test"
  expect '| `low/b.c` | `low/test_c.c` |' "$readme there is no low/test_c.c"
  expect '| `low/b.c`, `low/b.c` | `low/test_a.c` |' "$readme low/b.c stands in it twice"
  expect '| `low/b.c`, `low/c.c` | `low/test_a.c` |' "$readme there is no low/c.c"
  expect '| `low/a.c`, `low/b.c` | `low/test_a.c` |' "$readme low/a.c has a test of its own"
  touch "$dir/tests/low/test_of_nobody.c" "$dir/tests/low/test_of_two.c"
  expect '| `low/b.c` | `low/test_a.c` |' "tests/Makefile.am: low/test_of_nobody.c is not run"
}
exit "$result"
