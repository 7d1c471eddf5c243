#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A walk-through: a zone signed live with keys on a token, by a stock PowerDNS.
#
#   ./demo.sh           SQLite and SoftHSM
#   ./demo.sh --mysql   the same on a private MariaDB
#   ./demo.sh --keep    leaves the server running, and says how to go on
#
# Everything happens in a directory of its own, with ports on the loopback
# interface. p11-kit knows the demo's token there and nothing else. For root it
# would read no such configuration, so the commands then run as user pdns.
# The exit status says whether all was as expected.

set -u -o pipefail
export LC_ALL=C.UTF-8
PATH=$PATH:/usr/sbin:/sbin

ZONE=example.test
TOKEN="demo token"
PIN=$((RANDOM % 9000 + 1000))$((RANDOM % 9000 + 1000))

# Set: the first step is done, and left this directory behind.
dir=${PKCS11SIGNER_DEMO-}
database=sqlite keep=no server='' mariadb='' last=''
for option in "$@"; do
  case $option in
    --mysql) database=mysql ;;
    --keep) keep=yes ;;
    *)
      sed -n '3,13s/^# \{0,1\}//p' "$0"
      [[ $option == --help || $option == -h ]]
      exit
      ;;
  esac
done

# --- saying what happens ------------------------------------------------------

bold='' green='' red='' plain=''
if [[ -t 1 ]]; then
  bold=$'\e[1m' green=$'\e[32m' red=$'\e[31m' plain=$'\e[0m'
fi
number=0

step() {
  number=$((number + 1))
  printf '\n%s%d. %s%s\n' "$bold" "$number" "$1" "$plain"
}

say() { printf '   %s\n' "$@"; }

# A command line as one would type it.
typed() {
  local word line=
  for word in "$@"; do
    if [[ $word =~ ^[A-Za-z0-9_./:=@%+,-]+$ ]]; then
      line+=" $word"
    elif [[ $word != *[\"\$\`\\]* && $word == *\'* ]]; then
      line+=" \"$word\""
    else
      line+=" '${word//\'/\'\\\'\'}'"
    fi
  done
  printf '%s' "${line# }"
}

# run COMMAND…: prints the command and its output, keeps the output in $last.
# Whatever fails ends the demo.
run() {
  local status
  printf '   %s$ %s%s\n' "$bold" "$(typed "$@")" "$plain"
  last=$("$@" 2>&1 </dev/null)
  status=$?
  [[ -z $last ]] || printf '%s\n' "$last" | sed 's/^/     /'
  [[ $status == 0 ]] || fail "that command ended with $status"
}

# expect WHAT PATTERN: the last output holds a line that matches.
expect() {
  if grep -Eq -- "$2" <<<"$last"; then
    printf '   %s✓ %s%s\n' "$green" "$1" "$plain"
  else
    fail "expected: $1"
  fi
}

# expect_not WHAT PATTERN: the last output holds none.
expect_not() {
  if grep -Eq -- "$2" <<<"$last"; then
    fail "expected: $1"
  fi
  printf '   %s✓ %s%s\n' "$green" "$1" "$plain"
}

fail() {
  printf '   %s✗ %s%s\n' "$red" "$1" "$plain"
  if [[ -n $dir && -s $dir/pdns.log ]]; then
    printf '\nThe end of the server'\''s log:\n'
    tail -n 20 "$dir/pdns.log" | sed 's/^/     /'
  fi
  keep=no
  exit 1
}

# --- cleaning up --------------------------------------------------------------

stop() {
  local pid=$1 tries
  [[ -n $pid ]] && kill "$pid" 2>/dev/null || return 0
  for ((tries = 0; tries < 200; tries++)); do
    kill -0 "$pid" 2>/dev/null || return 0
    sleep 0.05
  done
  kill -KILL "$pid" 2>/dev/null
}

clean_up() {
  [[ $keep == yes || -z $dir ]] && return
  stop "$server"
  stop "$mariadb"
  wait 2>/dev/null
  rm -rf -- "$dir"
}
trap clean_up EXIT
trap 'keep=no; exit 130' INT
trap 'keep=no; exit 143' TERM

# wait_until WHAT PID COMMAND…: until the command succeeds, the process ends, or 60 s.
wait_until() {
  local what=$1 pid=$2 end=$((SECONDS + 60))
  shift 2
  until "$@" >/dev/null 2>&1; do
    kill -0 "$pid" 2>/dev/null || return 1
    ((SECONDS < end)) || fail "$what did not answer within a minute"
    sleep 0.1
  done
}

first_of() {
  local path
  for path in "$@"; do
    [[ -e $path ]] && printf '%s' "$path" && return
  done
  return 1
}

# --- setting up ---------------------------------------------------------------

# What $dir needs of this directory, which the demo's user perhaps may not enter.
prepare() {
  local here options=() libs
  here=$(cd "$(dirname "$0")" && pwd)
  [[ $database == sqlite ]] || options=(--mysql)
  step "Install what is needed and build the module (./setup.sh)"
  "$here/setup.sh" ${options[@]+"${options[@]}"} 2>&1 | sed 's/^/     /' || fail "setup.sh failed"
  libs=${P11S_MODULE_DIR:-$here/.build/build/modules/pkcs11signer/.libs}
  [[ -e $libs/libpkcs11signerbackend.so ]] || fail "$libs/libpkcs11signerbackend.so is missing"
  say "the module: $libs/libpkcs11signerbackend.so"
  dir=$(mktemp -d /tmp/pkcs11signer-demo.XXXXXX) || fail "no private directory"
  mkdir "$dir/modules"
  cp "$libs"/{libpkcs11signerbackend,pkcs11signer}.so "$dir/modules/" || fail "no copy of the module"
}

# The rest of this script as user pdns.
become_pdns() {
  say "" "From here on all runs as user pdns, as Debian's server does."
  chmod -R u=rwX,go= "$dir"
  chown -R pdns: "$dir" || fail "$dir could not be given to user pdns"
  cd "$dir" || fail "$dir is gone"
  PKCS11SIGNER_DEMO=$dir HOME=$dir exec setpriv --reuid=pdns --regid=pdns --init-groups \
    bash -c "$(<"$script")" "$0" "$@"
}

if [[ -z $dir ]]; then
  script=$(readlink -f "$0")
  prepare
  [[ $(id -u) != 0 ]] || become_pdns "$@"
else
  number=1
fi

mkdir -p "$dir"/{tokens,run,state,etc} "$dir/xdg/pkcs11/modules"
softhsm=$(first_of /usr/lib/softhsm/libsofthsm2.so /usr/lib/*/softhsm/libsofthsm2.so) ||
  fail "SoftHSM is not installed"
backends=$(first_of /usr/lib/*/pdns) || fail "PowerDNS has no backends installed"
for backend in "$backends"/lib*backend.so; do
  [[ -e $dir/modules/${backend##*/} ]] || ln -s "$backend" "$dir/modules/"
done

# PKCS#11 modules: SoftHSM, with tokens of the demo's own, and none of the machine's.
unset "${!P11_KIT_@}" OPENSC_CONF PKCS11SIGNER_PROBE
export XDG_CONFIG_HOME=$dir/xdg
echo "user-config: only" >"$dir/xdg/pkcs11/pkcs11.conf"
echo "module: $softhsm" >"$dir/xdg/pkcs11/modules/softhsm2.module"

# The tools of the demo, so that each command below can be typed as it is shown.
export SOFTHSM2_CONF=$dir/etc/softhsm2.conf
cat >"$SOFTHSM2_CONF" <<END
directories.tokendir = $dir/tokens
objectstore.backend = file
log.level = ERROR
END
CONF=--config-dir=$dir/etc
umask 077
printf '%s\n' "$PIN" >"$dir/etc/pin"

case $database in
  sqlite)
    sqlite3 "$dir/pdns.sqlite3" <"$(first_of /usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql \
      /usr/share/doc/pdns-backend-sqlite3/schema.sqlite3.sql)" || fail "no SQLite database"
    launch=gsqlite3
    settings="gsqlite3-database=$dir/pdns.sqlite3"
    sql() { sqlite3 "$dir/pdns.sqlite3" "$1"; }
    ;;
  mysql)
    me=$(id -un)
    mkdir "$dir/mysql"
    mariadb-install-db --no-defaults --datadir="$dir/mysql" --skip-test-db --user="$me" \
      --auth-root-authentication-method=normal >"$dir/mariadb.log" 2>&1 || fail "no MariaDB"
    setsid mariadbd --no-defaults --datadir="$dir/mysql" --socket="$dir/mysql.sock" --skip-networking \
      --pid-file="$dir/mysql.pid" --user="$me" >>"$dir/mariadb.log" 2>&1 &
    mariadb=$!
    sql() { mariadb --no-defaults -u root -S "$dir/mysql.sock" -N -r -e "$1" "${2-pdns}"; }
    wait_until MariaDB "$mariadb" sql "SELECT 1" "" || fail "MariaDB ended: $(tail -n 3 "$dir/mariadb.log")"
    sql "CREATE DATABASE pdns" "" || fail "no MySQL database"
    mariadb --no-defaults -u root -S "$dir/mysql.sock" pdns \
      <"$(first_of /usr/share/pdns-backend-mysql/schema/schema.mysql.sql \
        /usr/share/doc/pdns-backend-mysql/schema.mysql.sql)" || fail "no MySQL database"
    launch=gmysql
    settings=$(printf '%s\n' "gmysql-socket=$dir/mysql.sock" gmysql-user=root gmysql-dbname=pdns)
    ;;
esac

configure() {
  cat >"$dir/etc/pdns.conf" <<END
launch=pkcs11signer,$launch
$settings
$launch-dnssec=yes
pkcs11signer-state-dir=$dir/state
module-dir=$dir/modules
socket-dir=$dir/run
local-address=127.0.0.1
local-port=$1
setuid=
setgid=
loglevel=4
disable-syslog=yes
write-pid=no
cache-ttl=0
dnssec-key-cache-ttl=0
zone-metadata-cache-ttl=0
zone-cache-refresh-interval=0
END
}
port=$((RANDOM % 30000 + 20000))
configure "$port"

# --- the walk -----------------------------------------------------------------

step "PowerDNS is launched with the module before its database"
run cat "$dir/etc/pdns.conf"

step "A token, here a SoftHSM"
run softhsm2-util --init-token --free --label "$TOKEN" --pin "$PIN" --so-pin "$PIN"
say "" "As the module sees it:"
run pdnsutil "$CONF" backend-cmd pkcs11signer tokens
expect "the token is there" "$TOKEN"

step "Two keys on it, made with the tool of your choice"
for role in ksk zsk; do
  run pkcs11-tool --module "$softhsm" --token-label "$TOKEN" --login --pin "$PIN" \
    --keypairgen --key-type EC:prime256v1 --label "$ZONE-$role"
  expect "its private half can not leave the token" "never extractable"
done

step "A zone"
run pdnsutil "$CONF" create-zone "$ZONE" "ns1.$ZONE"
run pdnsutil "$CONF" add-record "$ZONE" ns1 A 192.0.2.1
run pdnsutil "$CONF" add-record "$ZONE" www A 192.0.2.80

step "The keys are assigned to the zone"
say "The key signing key with PowerDNS's own command:"
run pdnsutil "$CONF" hsm assign "$ZONE" ecdsa256 ksk softhsm2 "$TOKEN" "$PIN" "$ZONE-ksk"
expect "assigned" "assigned to $ZONE"
say "" "The zone signing key with the module's, its PIN kept in a file:"
run pdnsutil "$CONF" backend-cmd pkcs11signer \
  "assign $ZONE ecdsa256 zsk softhsm2 '$TOKEN' file:$dir/etc/pin $ZONE-zsk"
run pdnsutil "$CONF" rectify-zone "$ZONE"

step "What the database holds is a reference; the keys stay where they are"
show_rows() { sql "SELECT content FROM cryptokeys ORDER BY id"; }
printf '   %s$ SELECT content FROM cryptokeys;%s\n' "$bold" "$plain"
last=$(show_rows) || fail "the table can not be read"
printf '%s\n' "$last" | sed 's/^/     /'
expect "it names module, token and label" "^Label: $ZONE-ksk$"
expect "the public key is pinned in it" "^PublicKey: [A-Za-z0-9+/]{80,}"
expect "the second PIN is a file's name" "^PIN: file:"
expect_not "there is no private key in it" "PrivateKey"

step "The zone as PowerDNS sees it"
run pdnsutil "$CONF" show-zone "$ZONE"
expect "there is a key signing key" "\(KSK\).*algo = 13, bits = 256"
expect "there is a zone signing key" "\(ZSK\).*algo = 13, bits = 256"
expect "there is a DS record for the parent zone" "^DS = $ZONE\. IN DS "
run pdnsutil "$CONF" backend-cmd pkcs11signer "check $ZONE"

step "The server, signing as it answers"
for ((attempt = 0; attempt < 5; attempt++)); do
  configure "$port"
  setsid pdns_server "$CONF" --daemon=no --guardian=no >"$dir/pdns.log" 2>&1 &
  server=$!
  wait_until pdns_server "$server" dig +time=1 +tries=1 @127.0.0.1 -p "$port" "$ZONE" SOA && break
  grep -Eqi "address already in use|unable to bind|binding to" "$dir/pdns.log" || fail "pdns_server ended"
  server='' port=$((RANDOM % 30000 + 20000))
done
[[ -n $server ]] || fail "no free port in five attempts"
say "pdns_server $CONF   # process $server, 127.0.0.1 port $port"

run dig +norecurse +dnssec +multiline @127.0.0.1 -p "$port" "$ZONE" DNSKEY
expect "two keys" "DNSKEY[[:space:]]+257 3 13"
expect "and their signature" "RRSIG[[:space:]]+DNSKEY 13"
run dig +norecurse +dnssec +noall +answer @127.0.0.1 -p "$port" "www.$ZONE" A
expect "an address" "192\.0\.2\.80"
expect "and its signature" "RRSIG[[:space:]]+A 13"
run dig +norecurse +dnssec +noall +comments +authority @127.0.0.1 -p "$port" "missing.$ZONE" A
expect "a name that does not exist" "NXDOMAIN"
expect "is denied with a signature" "RRSIG[[:space:]]+NSEC 13"

step "A validator is content"
key=$(dig +norecurse +short @127.0.0.1 -p "$port" "$ZONE" DNSKEY | grep '^257 ') || fail "no key signing key"
read -r flags protocol algorithm key <<<"$key"
cat >"$dir/etc/anchor" <<END
trust-anchors { $ZONE. static-key $flags $protocol $algorithm "${key// /}"; };
END
run cat "$dir/etc/anchor"
validate=(delv @127.0.0.1 -p "$port" -a "$dir/etc/anchor" +root="$ZONE")
run "${validate[@]}" "www.$ZONE" A
expect "fully validated" "^; fully validated"
run "${validate[@]}" "missing.$ZONE" A
expect "so is the denial" "^; negative response, fully validated"

step "DNSSEC off again: the rows go, the keys stay on the token"
run pdnsutil "$CONF" disable-dnssec "$ZONE"
last=$(show_rows)
expect_not "the table is empty" "."
run dig +norecurse +dnssec +noall +answer @127.0.0.1 -p "$port" "www.$ZONE" A
expect_not "the answer is unsigned" "RRSIG"
run pdnsutil "$CONF" backend-cmd pkcs11signer "keys softhsm2 '$TOKEN' file:$dir/etc/pin"
expect "the first key is there" "$ZONE-ksk"
expect "the second key is there" "$ZONE-zsk"

if [[ $keep == yes ]]; then
  step "The same keys once more, for you to go on"
  for role in ksk zsk; do
    run pdnsutil "$CONF" backend-cmd pkcs11signer \
      "assign $ZONE ecdsa256 $role softhsm2 '$TOKEN' file:$dir/etc/pin $ZONE-$role"
  done
  run pdnsutil "$CONF" rectify-zone "$ZONE"
  run "${validate[@]}" "www.$ZONE" A
  expect "fully validated" "^; fully validated"
fi

printf '\n%sAll was as expected.%s\n' "$bold" "$plain"

if [[ $keep == yes ]]; then
  cat <<END

The server goes on running. To work with it:

${PKCS11SIGNER_DEMO:+  cd $dir; runuser -u pdns -- bash
}  export SOFTHSM2_CONF=$SOFTHSM2_CONF XDG_CONFIG_HOME=$XDG_CONFIG_HOME
  pdnsutil $CONF show-zone $ZONE
  pdnsutil $CONF backend-cmd pkcs11signer help
  dig +dnssec @127.0.0.1 -p $port www.$ZONE
  $(typed "${validate[@]}" "www.$ZONE" A)

The token's PIN is in $dir/etc/pin. When you are done:

  kill $server${mariadb:+ $mariadb}; rm -r $dir
END
fi
