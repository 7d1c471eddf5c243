# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Systems that are booted for a test, for scripts that source this and set, as for chroots.sh: top, logs; and
# release.

# shellcheck source=regression-tests/chroots.sh
. "$top/regression-tests/chroots.sh"

# Why this machine boots no systems for us; "" when it does.
cannot_boot() {
  if [ "$(id -u)" != 0 ]; then
    echo "a system that boots wants root"
  elif ! command -v systemd-nspawn >/dev/null; then
    echo "systemd-nspawn is missing: apt-get install systemd-container"
  elif ! unshare --mount true 2>/dev/null; then
    echo "no mount namespaces here"
  fi
}

prepare_to_boot() { # argument of the script...
  private "$@"
  # What systemd-nspawn leaves there.
  mkdir -p "$logs" /run/systemd/nspawn
  mount -t tmpfs none /run/systemd/nspawn
  make_fresh "$release"
}

leader='' container=''
boot() { # system, option of systemd-nspawn...
  local end=$((SECONDS + 300)) state=
  systemd-nspawn --quiet --register=no --keep-unit --link-journal=no --resolv-conf=copy-host --timezone=off \
    --machine="p11s-$1" --directory="$logs/$1/root" --bind="$chroots/archives-$release:/var/cache/apt/archives" \
    "${@:2}" --boot </dev/null >>"$logs/$1.boot" 2>&1 &
  container=$!
  until [[ $state == running || $state == degraded ]]; do
    if ! kill -0 "$container" 2>/dev/null || [ "$SECONDS" -ge "$end" ]; then
      tail -n 20 "$logs/$1.boot" >&2
      die "Debian $release does not boot by systemd-nspawn here; it last was: ${state:-nothing} ($logs/$1.boot)"
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
  nsenter --target "$leader" --mount --uts --ipc --net --pid --cgroup --root --wd \
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 "$@" </dev/null
}

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
