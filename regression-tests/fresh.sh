#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# README.md's first commands on a Debian 12 that is booted for it, with systemd, a message bus and no
# TPM, and a clone in /root: they succeed, wait for nothing, and change nothing of what starts at boot or
# of what PowerDNS loads and launches.
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
logs=$top/.build/fresh
# shellcheck source=regression-tests/booted.sh
. "$top/regression-tests/booted.sh"

release=bookworm
# new: nothing is there. waiting: a PowerDNS that runs, and the library that p11-kit waits for where there is no TPM.
systems=(new waiting)

usage() {
  echo "usage: fresh.sh [$(printf '%s\n' "${systems[@]}" | paste -sd'|')]..."
  echo "  Takes root and systemd-nspawn (Debian: systemd-container). Logs: .build/fresh."
  echo "  P11S_CHROOTS   where the system that all begin with is kept; .build/chroot if not set"
}

in_clone() { # command...
  inside sh -c 'cd /root/pkcs11signer && exec "$@"' sh "$@"
}

install_by_hand() { # package...
  inside env DEBIAN_FRONTEND=noninteractive apt-get -y install "$@" >>"$logs/$system.by-hand" 2>&1 ||
    die "the packages that are there before could not be installed ($logs/$system.by-hand)"
}

# A system of its own over the one that is kept, with the tree as git has it.
begin() { # system
  local files=$logs/$1
  overlay "$release" "$files"
  : >"$logs/$1.boot"
  [ "$(stat -c %a "$files/root/root")" = 700 ] || die "/root is not closed to others in $chroots/fresh-$release"
  copy_tree "$files/root/root/pkcs11signer"
  boot "$1"
  inside apt-get update >"$logs/$1.by-hand" 2>&1 || true
}

# -- what an operator would notice

starts_at_boot() {
  inside systemctl list-unit-files --state=enabled,enabled-runtime --plain --no-legend | cut -d' ' -f1 | sort
}

running() {
  inside systemctl list-units --type=service,socket --state=running,listening --plain --no-legend | cut -d' ' -f1 | sort
}

# Every library that comes into a pdns_server, its own and p11-kit's.
loaded() {
  { inside env LD_DEBUG=libs pdns_server --version 2>&1 || true; } | sed -n 's/.*calling init: //p' | sort -u
}

# Those of tokens, but what comes with SoftHSM, OpenSC and p11-kit-modules.
strange_tokens() {
  loaded | grep -E '/(pkcs11|softhsm)/' |
    grep -vE '/(libsofthsm2|opensc-pkcs11|p11-kit-trust|p11-kit-client)\.so$' || true
}

launched() {
  inside pdns_server --config 2>/dev/null | grep -E '^#? ?launch='
}

pdns_d() {
  inside find /etc/powerdns/pdns.d -type f -exec md5sum {} + 2>/dev/null | sort
}

# Calls to the service that the library waits for.
bus_calls() {
  inside journalctl --quiet --no-pager | grep -c 'name=.com\.intel\.tss2\.Tabrmd' || true
}

# -- what is expected

# How long it takes depends on the machine; whether anything waited for the service, the message bus knows.
command_succeeds() { # command...
  local status=0 began=$SECONDS calls out=$logs/$system.log
  calls=$(bus_calls)
  in_clone "$@" >"$out" 2>&1 || status=$?
  cat "$out" >>"$logs/$system.commands"
  verdict "$* ($((SECONDS - began)) s)" "$status" "$(cat "$out")"
  same "$*: nobody calls the service that tpm2-pkcs11 waits for" "$calls" "$(bus_calls)"
}

demo_succeeds() {
  command_succeeds ./demo.sh
  same "./demo.sh: says so" 1 "$(grep -c '^All was as expected\.' "$logs/$system.log")"
}

test_new() {
  local starts runs options
  starts=$(starts_at_boot) runs=$(running)
  for options in "" --tests; do
    # No option is no word.
    # shellcheck disable=SC2086
    command_succeeds ./setup.sh $options
    demo_succeeds
    same "nothing more starts at boot" "$starts" "$(starts_at_boot)"
    same "nothing more runs" "$runs" "$(running)"
    same "nothing is in pdns.d" "" "$(pdns_d)"
    same "PowerDNS launches nothing" "launch=" "$(launched | sed 's/^# *//')"
    same "PowerDNS loads no token but SoftHSM and OpenSC" "" "$(strange_tokens)"
    same "but it does load these" 1 "$(loaded | grep -c libsofthsm2)"
  done
  halt
  boot new
  same "nothing more runs after a reboot" "$runs" "$(running)"
}

# Whoever has a PowerDNS has it as it was.
test_waiting() {
  local starts runs files launch libraries began
  inside mkdir -p /etc/powerdns/pdns.d
  printf '%s\n' launch+=gsqlite3 gsqlite3-database=/var/lib/powerdns/own.sqlite3 local-address=127.0.0.1 \
    "local-port=$((RANDOM % 10000 + 20000))" >"$logs/$system/root/etc/powerdns/pdns.d/own.conf"
  install_by_hand pdns-server pdns-backend-sqlite3 sqlite3 softhsm2 opensc p11-kit p11-kit-modules \
    libtpm2-pkcs11-1 tpm2-abrmd libtss2-tcti-tabrmd0
  inside runuser -u pdns -- sh -c \
    'sqlite3 /var/lib/powerdns/own.sqlite3 </usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql'
  inside systemctl restart pdns || die "PowerDNS does not start ($logs/$system.by-hand)"
  starts=$(starts_at_boot) runs=$(running) files=$(pdns_d) launch=$(launched) libraries=$(loaded)
  [[ -n $starts && -n $runs && -n $files && $launch == *gsqlite3* && $libraries == *tpm2* ]] ||
    die "it cannot be seen what an operator would see"
  began=$SECONDS
  inside pdnsutil list-all-zones >"$logs/$system.log" 2>&1
  verdict "PowerDNS itself waits here ($((SECONDS - began)) s)" "$((SECONDS - began < 20))" "$(cat "$logs/$system.log")"
  verdict "and the message bus knows" "$(($(bus_calls) == 0))" ""
  command_succeeds ./setup.sh
  demo_succeeds
  same "the same starts at boot" "$starts" "$(starts_at_boot)"
  same "the same runs, PowerDNS too" "$runs" "$(running)"
  same "the same is in pdns.d" "$files" "$(pdns_d)"
  same "the same is launched" "$launch" "$(launched)"
  same "PowerDNS loads the same libraries" "$libraries" "$(loaded)"
  halt
  boot waiting
  same "the same runs after a reboot" "$runs" "$(running)"
}

main() {
  local system result=0
  case ${1-} in
  --help | -h) usage && exit 0 ;;
  esac
  [ -z "$(cannot_boot)" ] || die "$(cannot_boot)"
  prepare_to_boot "$@"
  [ $# -gt 0 ] || set -- "${systems[@]}"
  for system; do
    [[ " ${systems[*]} " == *" $system "* ]] || { usage >&2 && exit 2; }
  done
  for system; do
    say "$system"
    passed=0 failed=0
    begin "$system"
    "test_$system"
    halt
    umount "$logs/$system/root"
    rm -rf "${logs:?}/$system"
    echo "$system: $passed passed, $failed failed, 0 skipped"
    [ "$failed" = 0 ] || result=1
  done
  return "$result"
}

main "$@"
