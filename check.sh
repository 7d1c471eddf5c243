#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# All tests: unit tests, format, clang-tidy, and end to end against the real server.
# Arguments go to pytest. A stage that fails does not stop the others.
set -uo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=$top/.build/build
export PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH
# Nothing of the caller's PKCS#11 set-up gets into the tests.
unset XDG_CONFIG_HOME SOFTHSM2_CONF P11_KIT_DEBUG P11_KIT_STRICT P11_KIT_NO_USER_CONFIG \
  CREDENTIALS_DIRECTORY PYTHONPATH

passed=0 failed=0 skipped=0
summary=()

note() { # stage, result, seconds
  summary+=("$(printf '%-14s %-6s %4ss' "$1" "$2" "$3")")
}

stage() { # name, command…
  local name=$1 start=$SECONDS
  shift
  echo "== $name"
  if "$@"; then
    note "$name" ok $((SECONDS - start))
  else
    note "$name" FAILED $((SECONDS - start))
    failed=$((failed + 1))
  fi
}

# Adds what automake's and pytest's closing lines counted.
count() { # file, word, variable
  local n
  n=$(sed -nE "s/.*[^0-9]([0-9]+) $2.*/\1/p; s/^# $2: *([0-9]+)$/\1/ip" "$1" | tail -n 1)
  printf -v "$3" %d $((${!3} + ${n:-0}))
}

unit_tests() {
  local out=$top/.build/unit.log
  make -C "$build" check >"$out" 2>&1
  local status=$?
  grep -E '^(# (TOTAL|PASS|SKIP|FAIL|ERROR)|FAIL|ERROR|SKIP)' "$out"
  [ "$status" = 0 ] || cat "$build/tests/test-suite.log" 2>/dev/null || tail -n 50 "$out"
  count "$out" PASS passed
  count "$out" SKIP skipped
  return "$status"
}

end_to_end() {
  local out=$top/.build/pytest.log
  (cd "$top" && /usr/bin/python3 -m pytest -p no:cacheprovider -n 4 -rs -q regression-tests "$@") 2>&1 |
    tee "$out"
  local status=${PIPESTATUS[0]}
  count "$out" passed passed
  count "$out" skipped skipped
  return "$status"
}

"$top/setup.sh" || exit 1
stage unit-tests unit_tests
stage format make -s -C "$build" check-format
stage tidy make -s -C "$build" tidy
stage end-to-end end_to_end "$@"

echo
printf '%s\n' "${summary[@]}"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
