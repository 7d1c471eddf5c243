#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# replay.sh PROGRAMS CORPUS: runs each fuzz target over its inputs, a process for each, and prints
# a line for each: ok or FAILED, and what the program said.
set -u

programs=$1 corpus=$2
failed=0 count=0
output=$(mktemp) || exit 1
trap 'rm -f "$output"' EXIT

# A finding ends the program; a module's claim of 2^40 objects must not be believed.
ASAN_OPTIONS=${ASAN_OPTIONS:-max_allocation_size_mb=256:detect_stack_use_after_return=1}
UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
export ASAN_OPTIONS UBSAN_OPTIONS

for input in "$corpus"/*/*; do
  [ -f "$input" ] || continue
  name=${input#"$corpus"/}
  count=$((count + 1))
  if timeout -k 5 60 "$programs/fuzz_${name%%/*}" "$input" >"$output" 2>&1; then
    echo "ok $name"
  else
    echo "FAILED $name"
    cat "$output"
    failed=$((failed + 1))
  fi
done
echo "$count inputs, $failed failed"
[ "$count" -gt 0 ] && [ "$failed" = 0 ]
