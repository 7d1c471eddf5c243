#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# README.md's first commands on a Debian 12 that is booted for it, with systemd, a message bus and no
# TPM, and a clone in /root: they succeed, wait for nothing, and change nothing of what starts at boot or
# of what PowerDNS loads and launches.
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
logs=$top/.build/fresh
# shellcheck source=regression-tests/chroots.sh
. "$top/regression-tests/chroots.sh"

release=bookworm
# new: nothing is there. waiting: a PowerDNS that runs, and the library that p11-kit waits for where there is no TPM.
systems=(new waiting)

usage() {
  echo "usage: fresh.sh [$(printf '%s\n' "${systems[@]}" | paste -sd'|')]..."
  echo "  Takes root and systemd-nspawn (Debian: systemd-container). Logs: .build/fresh."
  echo "  P11S_CHROOTS   where the system that all begin with is kept; .build/chroot if not set"
}

# -- a system, booted

# This machine's own sources of that release.
sources() {
  # shellcheck disable=SC2016
  apt-get indextargets --format '$(LABEL) deb $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
    sed -nE "s/^Debian(-Security)? (deb [^ ]+ $release.*)/\2/p" | sort -u
}

leader='' container=''
boot() { # system
  local end=$((SECONDS + 300)) state=
  systemd-nspawn --quiet --register=no --keep-unit --link-journal=no --resolv-conf=copy-host --timezone=off \
    --machine="p11s-$1" --directory="$logs/$1/root" --bind="$chroots/archives:/var/cache/apt/archives" \
    --boot </dev/null >>"$logs/$1.boot" 2>&1 &
  container=$!
  until [[ $state == running || $state == degraded ]]; do
    if ! kill -0 "$container" 2>/dev/null || [ "$SECONDS" -ge "$end" ]; then
      tail -n 20 "$logs/$1.boot" >&2
      die "Debian 12 does not boot by systemd-nspawn here; it last was: ${state:-nothing} ($logs/$1.boot)"
    fi
    sleep 0.5
    leader=$(tr -d ' ' <"/proc/$container/task/$container/children") 2>/dev/null || true
    [ -n "$leader" ] || continue
    state=$(inside systemctl is-system-running 2>/dev/null) || true
  done
}

halt() {
  inside systemctl poweroff >/dev/null 2>&1 || true
  wait "$container" || true
  leader='' container=''
}

# As one who has logged in as root.
inside() { # command...
  nsenter --target "$leader" --mount --uts --ipc --pid --cgroup --root --wd \
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 "$@" </dev/null
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
  rm -rf "$files"
  mkdir -p "$files/"{upper,work,root} "$chroots/archives"
  : >"$logs/$1.boot"
  mount -t overlay overlay -o "lowerdir=$chroots/$release,upperdir=$files/upper,workdir=$files/work" "$files/root"
  sources >"$files/root/etc/apt/sources.list"
  [ "$(stat -c %a "$files/root/root")" = 700 ] || die "/root is not closed to others in $chroots/$release"
  mkdir "$files/root/root/pkcs11signer"
  git -c safe.directory="$top" -C "$top" ls-files -z --cached --others --exclude-standard |
    tar -C "$top" --null --files-from=- --ignore-failed-read -c |
    tar -C "$files/root/root/pkcs11signer" --no-same-owner -x
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

passed=0 failed=0
verdict() { # what, status, text of a failure
  if [ "$2" = 0 ]; then
    passed=$((passed + 1))
    echo "ok      $1"
  else
    failed=$((failed + 1))
    echo "FAILED  $1"
    printf '%s\n' "$3" | tail -n 30 | sed 's/^/        /'
  fi
}

same() { # what, before, now
  local status=0 difference
  difference=$(diff <(printf '%s\n' "$2") <(printf '%s\n' "$3")) || status=1
  verdict "$1" "$status" "$difference"
}

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
  [ "$(id -u)" = 0 ] || die "a system that boots wants root"
  command -v systemd-nspawn >/dev/null || die "systemd-nspawn is missing: apt-get install systemd-container"
  # Mounts and processes of its own: nothing is left of either.
  if [ -z "${P11S_FRESH_INSIDE-}" ]; then
    P11S_FRESH_INSIDE=yes exec unshare --mount --propagation private --pid --fork --kill-child --mount-proc "$0" "$@"
  fi
  [ $# -gt 0 ] || set -- "${systems[@]}"
  for system; do
    [[ " ${systems[*]} " == *" $system "* ]] || { usage >&2 && exit 2; }
  done
  # What systemd-nspawn leaves there.
  mkdir -p "$logs" /run/systemd/nspawn
  mount -t tmpfs none /run/systemd/nspawn
  need_debootstrap
  make_chroot "$release" --include=systemd-sysv,dbus,ca-certificates
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
