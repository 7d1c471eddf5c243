#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Unit tests, inputs of the fuzz targets, format, clang-tidy, and end to end against the real server.
# With --all: unit tests and end to end once more with AddressSanitizer and UBSan, unit tests and those
# of faults with ThreadSanitizer, and what other systems do.
# Arguments go to pytest. A stage that fails does not stop the others.
set -uo pipefail
exec </dev/null

top=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$top/.build
build=$work/build
asan=$work/asan # address,undefined
tsan=$work/tsan # thread

# Debian's own tools, whatever else the machine has in front of them.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH LC_ALL=C.UTF-8
# Nothing of the caller's own PKCS#11, Python or make set-up gets into the tests.
unset PKCS11SIGNER_PROBE XDG_CONFIG_HOME XDG_CONFIG_DIRS SOFTHSM2_CONF CREDENTIALS_DIRECTORY OPENSC_CONF \
  OPENSSL_CONF LD_PRELOAD LD_LIBRARY_PATH PYTHONPATH PYTHONHOME PYTEST_ADDOPTS PYTEST_PLUGINS \
  MAKEFLAGS MFLAGS MAKELEVEL
unset P11S_MODULE_DIR P11S_SANITIZER P11S_SETTINGS P11S_PATIENCE P11S_STARTS ASAN_OPTIONS UBSAN_OPTIONS TSAN_OPTIONS LSAN_OPTIONS
for name in "${!P11_KIT_@}" "${!P11SPY_@}" "${!P11SLOW_@}"; do
  unset "$name"
done

passed=0 failed=0 skipped=0
summary=() unsteady=()

minutes() { # seconds
  printf '%d:%02d' $(($1 / 60)) $(($1 % 60))
}

# Runs one stage. A stage that is not made of tests, or that fails though no test did, counts as
# one failure.
stage() { # name, command…
  wanted "$1" || return 0
  local name=$1 start=$SECONDS failed_before=$failed result=ok left
  shift
  begun=$((begun + 1))
  left=${stages[*]:$begun}
  echo "== $begun of ${#stages[@]}: $name (after $(minutes "$SECONDS")${left:+; then ${left// /, }})"
  if ! "$@"; then
    result=FAILED
    [ "$failed" -gt "$failed_before" ] || failed=$((failed + 1))
  fi
  summary+=("$(printf '%-16s %-6s %5ss' "$name" "$result" $((SECONDS - start)))")
}

far() { # how many, of how many, what
  echo "$((100 * $1 / $2)) %: $1 of $2 $3"
}

# Runs a command, and says how far it is: every few seconds what the function prints, if that is news.
following() { # function, command…
  local how=$1 pid status
  shift
  (
    said=''
    while sleep 5 >/dev/null && kill -0 $$ 2>/dev/null; do
      now=$("$how" 2>/dev/null)
      [ -z "$now" ] || [ "$now" = "$said" ] || echo "   $now"
      said=$now
    done
  ) &
  pid=$!
  "$@"
  status=$?
  kill "$pid"
  wait "$pid" 2>/dev/null
  return "$status"
}

add() { # passed, failed, skipped
  passed=$((passed + $1)) failed=$((failed + $2)) skipped=$((skipped + $3))
}

add_results() { # what results.py reads...
  local p f s
  read -r p f s < <("$top/regression-tests/results.py" "$@") && add "$p" "$f" "$s"
}

# With --again: a few programs that failed, one after the other.
unit_tests_again() { # build
  local names
  [ -n "$again" ] || return 1
  mapfile -t names < <(grep -lE '^:test-result: FAIL' "$1"/tests/{,*/,*/*/}*.trs 2>/dev/null)
  [ "${#names[@]}" -ge 1 ] && [ "${#names[@]}" -le 3 ] || return 1
  timeout --foreground -k 10 1200 make -C "$1/tests" recheck >>"$1/unit.log" 2>&1 || return 1
  unsteady+=("${names[@]##*/}")
}

unit_tests_done() {
  far "$(find "$unit_build/tests" -name '*.trs' | wc -l)" "$(make -s -C "$unit_build/tests" count)" programs
}

make_check() { # build, directories in it
  local status=0 directory
  for directory in "${@:2}"; do
    timeout --foreground -k 10 1200 make -C "$1/$directory" -j"$(nproc)" check || status=$?
  done >"$1/unit.log" 2>&1
  return "$status"
}

unit_tests() { # build, directories in it
  local out=$1/unit.log status unit_build=$1
  rm -f "$1"/tests/{,*/,*/*/}*.{trs,log}
  # The corpus is another stage.
  following unit_tests_done make_check "$@"
  status=$?
  grep -E '^(# (TOTAL|PASS|SKIP|FAIL|ERROR)|FAIL|ERROR|SKIP)' "$out"
  if [ "$status" != 0 ]; then
    # Made by a finished run; what stopped an unfinished one stands at the end of its output.
    tail -n 200 "$1/tests/test-suite.log" 2>/dev/null
    tail -n 30 "$out"
    unit_tests_again "$1" && status=0
  fi
  add_results "$1"/tests/{,*/,*/*/}*.trs
  return "$status"
}

# One run of pytest; what came of it goes to FILE. The rest are its arguments.
pytest_into() { # file, command before it, argument of pytest…
  local xml=$1 before
  read -ra before <<<"$2"
  shift 2
  rm -f "$xml"
  timeout --foreground -k 30 3000 ${before[@]+"${before[@]}"} /usr/bin/python3 -m pytest -p no:cacheprovider \
    --rootdir="$top" -o junit_family=xunit1 --junitxml="$xml" -rs -q "$@" </dev/null
}

# The tests run six at a time, as most of them wait most of the time, on whatever else the machine does meanwhile. None
# is run twice: one that fails by chance has failed. But with --again a few (8 at most) that failed are run by
# themselves, and if they pass then, the last lines of this script name them.
run_pytest() { # name, command before it, tests, argument of pytest…
  local xml=$work/pytest-$1.xml name=$1 prefix=$2 what argument status names
  read -ra what <<<"$3"
  shift 3
  # Whoever names tests wants those alone.
  for argument in "$@"; do
    [ ! -e "${argument%%::*}" ] || what=()
  done
  pytest_into "$xml" "$prefix" -n 6 ${what[@]+"${what[@]}"} "$@"
  status=$?
  # Of what was asked for, a stage with a choice of its own may have nothing.
  [ "$status" != 5 ] || [ "$name" = plain ] || [ $# = 0 ] || status=0
  mapfile -t names < <("$top/regression-tests/results.py" --failed "$xml")
  if [ -n "$again" ] && [ "$status" = 1 ] && [ "${#names[@]}" -ge 1 ] && [ "${#names[@]}" -le 8 ]; then
    echo "-- again, by themselves: ${names[*]}"
    if pytest_into "$work/pytest-$name-again.xml" "$prefix" "${names[@]}"; then
      unsteady+=("${names[@]/#/$name: }")
      add "${#names[@]}" -"${#names[@]}" 0
      status=0
    fi
  fi
  add_results "$xml" || return 1
  return "$status"
}

# A build of its own. CC and CXX of the environment count, as for
# setup.sh.
build_sanitized() { # build, sanitizers, argument of make…
  local source
  source=$(sed -n 's/^PDNS_SOURCE = //p' "$build/Makefile")
  mkdir -p "$1" && cd "$1" || return
  if [ ! -f config.status ] || [ "$top/configure" -nt config.status ]; then
    "$top/configure" --with-pdns-source="$source" --enable-sanitizers="$2" || return
  fi
  make -j"$(nproc)" "${@:3}"
}

sanitized_build() { # build, sanitizers, argument of make…
  local out=$1.log
  (build_sanitized "$@") >"$out" 2>&1 || {
    tail -n 30 "$out"
    return 1
  }
}

sanitized_unit_tests() { # build, sanitizers
  sanitized_build "$@" && unit_tests "$1" tests
}

# The module of that build in stock PowerDNS. A file that the sanitizer has left, or a runtime that is not in
# the server, fails a test: regression-tests/harness/sanitizer.py.
sanitized_end_to_end() { # build, sanitizers, tests, argument of pytest…
  local status
  sanitized_build "$1" "$2" || return
  export P11S_MODULE_DIR=$1/modules/pkcs11signer/.libs P11S_SANITIZER=${2%%,*} P11S_PATIENCE=3 P11S_STARTS=40
  # The runtime wants its shadow memory at one place, which must not be taken at random.
  run_pytest "${1##*/}" "setarch -R" "${@:3}"
  status=$?
  unset P11S_MODULE_DIR P11S_SANITIZER P11S_PATIENCE P11S_STARTS
  return "$status"
}

# Every input that a fuzz target has come across: tests/fuzz/README.md. One file is one test.
inputs_done() {
  far "$(grep -cE '^(ok|FAILED) ' "$work/replay.log")" "$(find "$top/tests/fuzz/corpus" -mindepth 2 -type f | wc -l)" inputs
}

replay() {
  timeout --foreground -k 10 900 make -s -C "$asan/tests/fuzz" replay >"$work/replay.log" 2>&1
}

corpus() {
  local out=$work/replay.log status
  rm -f "$out"
  # Of that build, no more than this takes.
  sanitized_build "$asan" address,undefined -C modules/pkcs11signer libp11score.la || return
  make -s -j"$(nproc)" -C "$asan/tests/fuzz" programs >"$out" 2>&1 || {
    tail -n 30 "$out"
    return 1
  }
  following inputs_done replay
  status=$?
  grep -v '^ok ' "$out"
  add "$(grep -c '^ok ' "$out")" "$(grep -c '^FAILED ' "$out")" 0
  return "$status"
}

files_done() {
  far "$(wc -l <"$work/tidy.done")" "$(find modules tests regression-tests/harness/native/schsm \
    -name '*.c' ! -path 'tests/bench/*' -o -name '*.cc' | wc -l)" files
}

run_tidy() {
  # It says how far it is by a line for each file. How many warnings of other people's headers it kept to itself is of no use.
  # shellcheck disable=SC2016 # for a shell that make starts
  timeout --foreground -k 10 1500 make -s -k -C "$build" tidy \
    CLANG_TIDY="sh -c 'clang-tidy \"\$\$@\"; status=\$\$?; echo >>\"$work/tidy.done\"; exit \$\$status' sh" 2>&1 |
    grep -vE '^[0-9]+ warnings? generated\.$'
  return "${PIPESTATUS[0]}"
}

tidy() {
  : >"$work/tidy.done"
  following files_done run_tidy
}

# A script that makes systems of its own, and says of each what came of it.
systems() { # script, argument…
  local out=$work/$1.log status line
  "$top/regression-tests/$1.sh" "${@:2}" 2>&1 | tee "$out"
  status=${PIPESTATUS[0]}
  while read -r line; do
    # Three numbers, three arguments.
    # shellcheck disable=SC2086
    add $line
  done < <(sed -nE 's/^[a-z]+: ([0-9]+) passed, ([0-9]+) failed, ([0-9]+) skipped$/\1 \2 \3/p' "$out")
  mapfile -t -O "${#not_tested[@]}" not_tested < <(sed -n 's/^not tested: //p' "$out")
  return "$status"
}

usual=(unit-tests corpus format tidy end-to-end)
others=(asan-unit asan-end-to-end tsan-unit tsan-faults package)
stages=("${usual[@]}") begun=0 not_tested=() all='' only='' again=''
wanted() { [[ " ${stages[*]} " == *" $1 "* ]]; }

usage() {
  echo "usage: check.sh [--all] [--again] [--only STAGE,...] [ARGUMENT OF PYTEST]..."
  echo "  ${usual[*]}; check.sh -k NAME runs only some of the tests in regression-tests/."
  echo "  --all     ${others[*]}, too, and versions with PDNS_SOURCES"
  echo "  --only    these stages: those above, versions, fresh (regression-tests/README.md)"
  echo "  --again   a few tests of a stage that fail are run once more by themselves, and named at the end"
}

while :; do
  case ${1-} in
  --all) all=yes ;;
  --again) again=yes ;;
  --only)
    only=${2-}
    shift
    ;;
  --help | -h)
    usage
    exit 0
    ;;
  *) break ;;
  esac
  shift
done
if [ -n "$only" ]; then
  IFS=, read -ra stages <<<"$only"
  for name in "${stages[@]}"; do
    [[ " ${usual[*]} ${others[*]} versions fresh " == *" $name "* ]] || {
      echo "check.sh: there is no stage $name" >&2
      usage >&2
      exit 2
    }
  done
elif [ -n "$all" ]; then
  stages+=("${others[@]}" ${PDNS_SOURCES:+versions})
fi

cd "$top" || exit 1
"$top/setup.sh" --tests || exit 1
tests=regression-tests
fault_tests=$(echo regression-tests/*/test_fault_*.py regression-tests/faults/test_sanitizer.py)
stage unit-tests unit_tests "$build" modules tests
stage corpus corpus
stage format timeout --foreground -k 10 300 make -s -C "$build" check-format
stage tidy tidy
stage end-to-end run_pytest plain "" "$tests" "$@"
stage asan-unit sanitized_unit_tests "$asan" address,undefined
stage asan-end-to-end sanitized_end_to_end "$asan" address,undefined "$tests" "$@"
stage tsan-unit sanitized_unit_tests "$tsan" thread
stage tsan-faults sanitized_end_to_end "$tsan" thread "$fault_tests" "$@"
stage package systems installed
stage versions systems matrix -- "$@"
stage fresh systems fresh
if [ -z "$only" ]; then
  [ -n "$all" ] || not_tested+=("the same with sanitizers, and the package on a fresh system: ./check.sh --all does it")
  if ! wanted versions; then
    versions=$("$top/regression-tests/matrix.sh" --list | paste -sd, | sed 's/,/, /g')
    not_tested+=("$versions: PDNS_SOURCES=DIR, with their headers, and --all do it")
  fi
  not_tested+=("the first commands on a fresh Debian 12: ./check.sh --only fresh does it")
fi

echo
printf '%s\n' "${summary[@]}"
for name in ${unsteady[@]+"${unsteady[@]}"}; do
  echo "failed beside others, passed by itself: $name"
done
for name in ${not_tested[@]+"${not_tested[@]}"}; do
  echo "not tested: $name (regression-tests/README.md)"
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
