#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# covered.sh [DIRECTORY]: whether each .c of its modules/pkcs11signer has its test: tests/FOLDER/test_NAME.c, or one that
# the table of tests/README.md names, of which no row may be stale. Each unit test stands in tests/Makefile.am. Prints
# what is not so.
set -u
cd "${1:-$(dirname "$0")/..}" || exit 1
found=$(mktemp) || exit 1
trap 'rm -f "$found"' EXIT

{
  find modules/pkcs11signer -name '*.c' | sed 's,^modules/pkcs11signer/,source ,'
  find tests regression-tests -name 'test_*' | sed 's,^tests/,,; s,^,test ,'
  sed -n 's,^\t\([a-z0-9_/]*/test_[a-z0-9_]*\).*,runs \1.c,p' tests/Makefile.am
  # shellcheck disable=SC2016 # backquotes of Markdown
  grep -E '^\| `[a-z0-9_/]+\.c`' tests/README.md | tr -d '`,' |
    awk -F '|' '{ n = split($2, source, " ")
                  for (i = 1; i <= n; i++) print "row", source[i], $3 }'
} | awk '
  $1 == "source" { source[$2] }
  $1 == "test" { test[$2] }
  $1 == "runs" { runs[$2] }
  $1 == "row" {
    if ($2 in row)
      print "tests/README.md: " $2 " stands in it twice"
    row[$2]
    if (NF == 2)
      print "tests/README.md: " $2 " without a test"
    for (i = 3; i <= NF; i++)
      named[$i]
  }
  function own(name, place) {
    place = match(name, /[^\/]*$/) - 1
    return substr(name, 1, place) "test_" substr(name, place + 1)
  }
  END {
    for (name in source)
      if (!(own(name) in test) && !(name in row))
        print name ": neither tests/" own(name) " nor a row in tests/README.md"
    for (name in row) {
      if (!(name in source))
        print "tests/README.md: there is no " name
      if (own(name) in test)
        print "tests/README.md: " name " has a test of its own"
    }
    for (name in test)
      if (name ~ /\.c$/ && !(name in runs))
        print "tests/Makefile.am: " name " is not run"
    for (name in named)
      if (!(name in test))
        print "tests/README.md: there is no " name
  }' | sort >"$found"
cat "$found"
[ ! -s "$found" ]
