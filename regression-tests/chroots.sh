# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Debian systems in directories, for scripts that source this and set: top, the tree; logs, a directory.
# They stay for the next run: .build/chroot, or P11S_CHROOTS. They are gigabytes.

# shellcheck disable=SC2154
chroots=${P11S_CHROOTS:-$top/.build/chroot}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

say() { echo "== $*"; }

die() {
  echo "${0##*/}: $*" >&2
  exit 1
}

# The mirror of the machine's own Debian packages.
mirror() {
  # shellcheck disable=SC2016
  apt-get indextargets --format '$(REPO_URI) $(LABEL)' 'Created-By: Packages' |
    sed -n 's/ Debian$//p' | head -n 1
}

# Debian's.
number() { # release
  case $1 in
  bookworm) echo 12 ;;
  trixie) echo 13 ;;
  forky) echo 14 ;;
  *) return 1 ;;
  esac
}

own_release() {
  sed -n 's/^VERSION_CODENAME=//p' /etc/os-release
}

# The machine's own sources, of a release.
sources() { # release
  # shellcheck disable=SC2016
  apt-get indextargets --format '$(LABEL) deb $(REPO_URI) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' |
    sed -nE "s/^Debian(-Security)? (deb [^ ]+ )$(own_release)(-[a-z]+)? /\\2$1\\3 /p" | sort -u
}

need_debootstrap() {
  command -v debootstrap >/dev/null ||
    apt-get install -y --no-install-recommends debootstrap debian-archive-keyring >"$logs/apt" 2>&1 ||
    die "debootstrap is missing, and could not be installed ($logs/apt)"
}

make_chroot() { # release, option of debootstrap...
  make_system "$chroots/$1" "$@"
}

# One that nothing is installed in later: systems of a short life are laid over it.
make_fresh() { # release
  make_system "$chroots/fresh-$1" "$1" --include=systemd-sysv,dbus,ca-certificates
  sources "$1" >"$chroots/fresh-$1/etc/apt/sources.list"
}

make_system() { # directory, release, option of debootstrap...
  local root=$1 script=/usr/share/debootstrap/scripts/$2 from
  shift
  [ ! -e "$root/.complete" ] || return 0
  need_debootstrap
  from=$(mirror)
  [ -n "$from" ] || die "apt has no package source of Debian"
  # A bookworm does not know forky, and all releases are made as sid is.
  [ -e "$script" ] || script=/usr/share/debootstrap/scripts/sid
  say "making a chroot of $1 in $root"
  rm -rf "$root"
  mkdir -p "$root"
  debootstrap --variant=minbase --keyring="$keyring" "${@:2}" "$1" "$root" "$from" "$script" \
    >"$logs/$1.debootstrap" 2>&1 || {
    tail -n 20 "$logs/$1.debootstrap" >&2
    die "debootstrap of $1 failed"
  }
  # A mirror may lag behind the date until which its index of a moving release is valid.
  echo 'Acquire::Check-Valid-Until "false";' >"$root/etc/apt/apt.conf.d/90no-date"
  echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/90unsafe-io"
  grep -qs localhost "$root/etc/hosts" || echo "127.0.0.1 localhost" >>"$root/etc/hosts"
  touch "$root/.complete"
}

# The tree's files: those that git knows or would; without git, all.
copy_tree() { # directory
  mkdir -p "$1"
  if [ -e "$top/.git" ]; then
    git -c safe.directory="$top" -C "$top" ls-files -z --cached --others --exclude-standard
  else
    (cd "$top" && find . -path ./.build -prune -o ! -type d -print0)
  fi | tar -C "$top" --null --files-from=- --ignore-failed-read -c | tar -C "$1" --no-same-owner -x
}

# Starts the script anew with mounts and processes of its own: when it ends, nothing is left of either.
private() { # argument of the script...
  [ -n "${P11S_PRIVATE-}" ] ||
    P11S_PRIVATE=yes exec unshare --mount --propagation private --pid --fork --kill-child --mount-proc "$0" "$@"
}

# Lays a system of a short life, DIRECTORY/root, over a fresh one. Packages are fetched once. For private scripts.
overlay() { # release, directory
  rm -rf "$2"
  mkdir -p "$2/"{upper,work,root} "$chroots/archives-$1"
  mount -t overlay overlay -o "lowerdir=$chroots/fresh-$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
}

# Runs a command in a directory with a system, in a mount and a process namespace of its own. The directory
# becomes the root of that namespace, as tests make namespaces in there, which needs a root that is a mount.
in_system() { # directory, FROM:TO[:ro]..., --, command...
  unshare --mount --propagation private --pid --fork --kill-child bash -euc '
    root=$1
    shift
    mount --bind "$root" "$root"
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    while [ "$1" != -- ]; do
      IFS=: read -r from to option <<<"$1"
      [ -d "$root$to" ] || mkdir -p "$root$to"
      mount --bind "$from" "$root$to"
      [ -z "$option" ] || mount -o "remount,bind,$option" "$root$to"
      shift
    done
    shift
    cd "$root"
    pivot_root . .
    umount --lazy .
    # Not exec: the shell is the one process that orphans are left to, and takes note of their end.
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 "$@"
    exit' in_system "$@"
}
