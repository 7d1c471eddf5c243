#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# All tests: unit tests, inputs of the fuzz targets, format, clang-tidy, and end to end against the
# real server.
# Arguments go to pytest. A stage that fails does not stop the others.
set -uo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$top/.build
build=$work/build
replay=$work/replay

# Debian's own tools, whatever else the machine has in front of them.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH LC_ALL=C.UTF-8
# Nothing of the caller's own PKCS#11, Python or make set-up gets into the tests.
unset PKCS11SIGNER_PROBE XDG_CONFIG_HOME XDG_CONFIG_DIRS SOFTHSM2_CONF CREDENTIALS_DIRECTORY OPENSC_CONF \
  OPENSSL_CONF LD_PRELOAD LD_LIBRARY_PATH PYTHONPATH PYTHONHOME PYTEST_ADDOPTS PYTEST_PLUGINS \
  MAKEFLAGS MFLAGS MAKELEVEL
for name in "${!P11_KIT_@}" "${!P11SPY_@}" "${!P11SLOW_@}"; do
  unset "$name"
done

passed=0 failed=0 skipped=0
summary=()

# Runs one stage. A stage that is not made of tests, or that fails though no test did, counts as
# one failure.
stage() { # name, command…
  wanted "$1" || return 0
  local name=$1 start=$SECONDS failed_before=$failed result=ok
  shift
  echo "== $name"
  if ! "$@"; then
    result=FAILED
    [ "$failed" -gt "$failed_before" ] || failed=$((failed + 1))
  fi
  summary+=("$(printf '%-12s %-6s %5ss' "$name" "$result" $((SECONDS - start)))")
}

add() { # passed, failed, skipped
  passed=$((passed + $1)) failed=$((failed + $2)) skipped=$((skipped + $3))
}

# cmocka writes a line for each test. A program that died said nothing of the rest.
count_unit_tests() {
  local result log p f s
  for result in "$build"/tests/test_*.trs; do
    [ -f "$result" ] || continue
    log=${result%.trs}.log
    p=$(grep -c '^\[       OK \]' "$log")
    f=$(grep -c '^\[  FAILED  \] [^0-9]' "$log")
    s=$(grep -c '^\[  SKIPPED \] [^0-9]' "$log")
    if [ "$f" = 0 ] && ! grep -q '^:test-result: \(PASS\|SKIP\)' "$result"; then
      f=1
    fi
    add "$p" "$f" "$s"
  done
}

unit_tests() {
  local out=$work/unit.log status
  rm -f "$build"/tests/test_*.trs "$build"/tests/test_*.log
  timeout --foreground -k 10 900 make -C "$build" -j"$(nproc)" check >"$out" 2>&1
  status=$?
  grep -E '^(# (TOTAL|PASS|SKIP|FAIL|ERROR)|FAIL|ERROR|SKIP)' "$out"
  if [ "$status" != 0 ]; then
    # Made by a finished run; what stopped an unfinished one stands at the end of its output.
    tail -n 200 "$build/tests/test-suite.log" 2>/dev/null
    tail -n 30 "$out"
  fi
  count_unit_tests
  return "$status"
}

end_to_end() {
  local xml=$work/pytest.xml what=(regression-tests) argument status counts
  # Whoever names tests wants those alone.
  for argument in "$@"; do
    [ ! -e "${argument%%::*}" ] || what=()
  done
  rm -f "$xml"
  timeout --foreground -k 30 3000 /usr/bin/python3 -m pytest -p no:cacheprovider -n 4 -rs -q \
    --junitxml="$xml" ${what[@]+"${what[@]}"} "$@" </dev/null
  status=$?
  counts=$(/usr/bin/python3 - "$xml" <<'PYTHON'
import sys
import xml.etree.ElementTree as tree

passed = failed = skipped = 0
for suite in tree.parse(sys.argv[1]).iter("testsuite"):
    tests, failures, errors, skips = (int(suite.get(name, 0))
                                      for name in ("tests", "failures", "errors", "skipped"))
    passed += tests - failures - errors - skips
    failed += failures + errors
    skipped += skips
print(passed, failed, skipped)
PYTHON
  ) || return 1
  # Three numbers, three arguments.
  # shellcheck disable=SC2086
  add $counts
  return "$status"
}

# A build of its own, with sanitizers where the compiler has them: the core and the fuzz targets.
build_replay() {
  local source
  source=$(sed -n 's/^PDNS_SOURCE = //p' "$build/Makefile")
  mkdir -p "$replay" && cd "$replay" || return
  if [ ! -f config.status ] || [ "$top/configure" -nt config.status ]; then
    "$top/configure" --with-pdns-source="$source" --enable-sanitizers=address,undefined ||
      "$top/configure" --with-pdns-source="$source" || return
  fi
  make -j"$(nproc)" -C modules/pkcs11signer libp11score.la &&
    make -j"$(nproc)" -C tests/fuzz programs
}

# Every input that a fuzz target has come across: tests/fuzz/README.md. One file is one test.
corpus() {
  local out=$work/replay.log status
  (build_replay) >"$out" 2>&1 || {
    tail -n 30 "$out"
    return 1
  }
  timeout --foreground -k 10 900 make -s -C "$replay/tests/fuzz" replay >"$out" 2>&1
  status=$?
  grep -v '^ok ' "$out"
  add "$(grep -c '^ok ' "$out")" "$(grep -c '^FAILED ' "$out")" 0
  return "$status"
}

tidy() {
  # How many warnings of other people's headers it kept to itself is of no use.
  timeout --foreground -k 10 1500 make -s -k -C "$build" tidy 2>&1 |
    grep -vE '^[0-9]+ warnings? generated\.$'
  return "${PIPESTATUS[0]}"
}

# Other PowerDNS versions, in chroots, where their headers are given.
other_versions() {
  local out=$work/matrix.log status line
  "$top/regression-tests/matrix.sh" -- "$@" 2>&1 | tee "$out"
  status=${PIPESTATUS[0]}
  while read -r line; do
    # Three numbers, three arguments.
    # shellcheck disable=SC2086
    add $line
  done < <(sed -nE 's/^[a-z]+: ([0-9]+) passed, ([0-9]+) failed, ([0-9]+) skipped$/\1 \2 \3/p' "$out")
  return "$status"
}

only='' not_tested=''
wanted() { [ -z "$only" ] || [[ ,$only, == *",$1,"* ]]; }

case ${1-} in
--only)
  only=$2
  shift 2
  ;;
--help | -h)
  echo "usage: check.sh [--only STAGE,...] [ARGUMENT OF PYTEST]..."
  echo "  All tests; check.sh -k NAME runs only some of those in regression-tests/."
  exit 0
  ;;
esac

cd "$top" || exit 1
"$top/setup.sh" || exit 1
stage unit-tests unit_tests
stage corpus corpus
stage format timeout --foreground -k 10 300 make -s -C "$build" check-format
stage tidy tidy
stage end-to-end end_to_end "$@"
if [ -n "${PDNS_SOURCES-}" ]; then
  stage versions other_versions "$@"
elif wanted versions; then
  not_tested=$("$top/regression-tests/matrix.sh" --list | paste -sd, | sed 's/,/, /g')
fi

echo
printf '%s\n' "${summary[@]}"
[ -z "$not_tested" ] ||
  echo "not tested: $not_tested: PDNS_SOURCES=DIR, with their headers, does it (regression-tests/README.md)"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
