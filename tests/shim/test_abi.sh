#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Every symbol that the module needs and its own libraries do not have, PowerDNS's programs must
# export. Those that are weak may be missing.
#
# MODULE, PDNS_SERVER and PDNSUTIL in the environment. Prints what is missing by name.
set -eu

module=$MODULE
set -- ${PDNS_SERVER:+"$PDNS_SERVER"} ${PDNSUTIL:+"$PDNSUTIL"}
[ $# -gt 0 ] || {
  echo "[  SKIPPED ] no PowerDNS program is installed"
  exit 77
}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

names() { awk '{ sub(/@.*/, "", $NF); print $NF }' | sort -u; }

# Strong ones: "U"; weak ones are "w" and "v". A sanitizer's runtime is in the process before PowerDNS is.
nm -D --undefined-only "$module" | awk '$1 == "U" && $NF !~ /^__(asan|tsan|ubsan)_/' | names >"$dir/needed"
ldd "$module" | sed -n 's/.* => \(\/[^ ]*\).*/\1/p; s/^[[:space:]]*\(\/[^ ]*\) .*/\1/p' |
  while read -r library; do
    nm -D --defined-only "$library"
  done | names >"$dir/libraries"
comm -23 "$dir/needed" "$dir/libraries" >"$dir/powerdns"
[ -s "$dir/powerdns" ] || {
  echo "[  FAILED  ] $module needs nothing of PowerDNS: this test looks wrongly"
  exit 1
}

result=0
for program in "$@"; do
  nm -D --defined-only "$program" | names >"$dir/exported"
  missing=$(comm -23 "$dir/powerdns" "$dir/exported")
  if [ -z "$missing" ]; then
    echo "[       OK ] $program has all $(wc -l <"$dir/powerdns") symbols of PowerDNS that the module needs"
  else
    echo "$missing" | c++filt | sed "s,^,$program lacks ,"
    echo "[  FAILED  ] $program"
    result=1
  fi
done
exit "$result"
