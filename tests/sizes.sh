#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# sizes.sh [DIRECTORY]: the sources in it that have more than 400 lines, and functions of theirs with more than 60 lines
# or six parameters.
set -u
cd "${1:-$(dirname "$0")/../modules/pkcs11signer}" || exit 1
found=$(find . -name '*.[ch]' -o -name '*.cc' -o -name '*.hh' | sed 's,^\./,,' | sort | xargs awk '
  function say(what) { print FILENAME ":" FNR ": " what }
  FNR == 1 { head = "" }
  FNR == 401 { say("more than 400 lines") }
  /^[{]/ { begin = FNR }
  /^}/ && begin { if (FNR - begin > 61) say("a function of more than 60 lines"); begin = 0 }
  /^[a-zA-Z]/ { head = "" }
  { head = head $0 }
  /[)](;| const;?| override;?)?$/ && head ~ /^[a-zA-Z]/ {
    sub(/^[^(]*[(]/, "", head)
    if (gsub(/,/, "", head) > 5 && head !~ /[(]/)
      say("more than six parameters")
    head = ""
  }')
[ -z "$found" ] || { echo "$found"; exit 1; }
