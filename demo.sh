#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A zone signed live with keys on a token, by a stock PowerDNS.
#
#   ./demo.sh           the zone in SQLite, the keys in SoftHSM
#   ./demo.sh --card    the keys on a SmartCard-HSM: an emulated one, behind the real pcscd and OpenSC
#   ./demo.sh --mysql   the zone in a private MariaDB
#   ./demo.sh --keep    leaves the server running, and says how to go on
#
# Everything happens in a directory of its own and on the loopback interface. p11-kit knows the demo's
# token there and nothing else. For root it would read no such configuration, so the commands then run
# as user pdns. The exit status says whether all was as expected.

set -u -o pipefail
export LC_ALL=C.UTF-8
PATH=$PATH:/usr/sbin:/sbin

ZONE=example.test
PIN=$((RANDOM % 9000 + 1000))$((RANDOM % 9000 + 1000))

# Set: the module is built, and this directory made.
dir=${PKCS11SIGNER_DEMO-}
card=no database=gsqlite3 keep=no step=${dir:+1} pids=() options=() last=''
for option in "$@"; do
  case $option in
    --card) card=yes options+=(--card) ;;
    --mysql) database=gmysql options+=(--mysql) ;;
    --keep) keep=yes ;;
    *)
      sed -n '4,13s/^# \{0,1\}//p' "$0"
      [[ $option == --help || $option == -h ]]
      exit
      ;;
  esac
done

# --- saying what happens ------------------------------------------------------

step() { printf '\n%d. %s\n' "$((++step))" "$1"; }

# A command line as one would type it.
typed() {
  local word line=
  for word in "$@"; do
    [[ $word =~ ^[A-Za-z0-9_./:=@%+,-]+$ ]] || word="'${word//\'/\'\\\'\'}'"
    line+=" $word"
  done
  printf '%s' "${line# }"
}

# run COMMAND…: prints the command and its output, keeps the output in $last. What fails ends the demo.
# Behind "==" pdnsutil repeats what pkcs11signer tells it.
run() {
  local status
  printf '   $ %s\n' "$(typed "$@")"
  last=$("$@" 2>&1 </dev/null)
  status=$?
  [[ -z $last ]] || printf '%s\n' "$last" | sed '/^== /d; s/^/     /'
  [[ $status == 0 ]] || fail "that command ended with $status"
}

# expect WHAT PATTERN [NO]: the last output holds a line that matches; with NO, none.
expect() {
  if grep -Eq -- "$2" <<<"$last"; then
    [[ -z ${3-} ]] || fail "expected: $1"
  else
    [[ -n ${3-} ]] || fail "expected: $1"
  fi
}

fail() {
  printf '   FAILED: %s\n' "$1"
  if [[ -n $dir ]]; then
    tail -n 20 "$dir"/*.log 2>/dev/null | sed 's/^/     /'
  fi
  keep=no
  exit 1
}

# --- cleaning up --------------------------------------------------------------

clean_up() {
  local pid tries
  [[ $keep == no && -n $dir ]] || return 0
  kill "${pids[@]}" 2>/dev/null
  for pid in "${pids[@]}"; do
    for ((tries = 0; tries < 200; tries++)); do
      kill -0 "$pid" 2>/dev/null || continue 2
      sleep 0.05
    done
    kill -KILL "$pid" 2>/dev/null
  done
  wait 2>/dev/null
  rm -rf -- "$dir"
}
trap clean_up EXIT
trap 'keep=no; exit 130' INT
trap 'keep=no; exit 143' TERM
trap 'keep=no; exit 141' PIPE

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

# --- a directory, a token, a database -----------------------------------------

# What $dir needs of this one, which the demo's user perhaps may not enter.
prepare() {
  local here libs
  here=$(cd "$(dirname "$0")" && pwd)
  step "Build the module, and install what it needs"
  printf '   $ %s\n' "$(typed ./setup.sh ${options[@]+"${options[@]}"})"
  "$here/setup.sh" ${options[@]+"${options[@]}"} 2>&1 | sed 's/^/     /' || fail "setup.sh failed"
  libs=${P11S_MODULE_DIR:-$here/.build/build/modules/pkcs11signer/.libs}
  dir=$(mktemp -d /tmp/pkcs11signer-demo.XXXX) || fail "no private directory"
  mkdir -p "$dir"/{modules,tokens,run,state,etc,pcscd,readers} "$dir/xdg/pkcs11/modules"
  cp "$libs"/{libpkcs11signerbackend,pkcs11signer}.so "$dir/modules/" || fail "no copy of the module"
  cp "$libs/../pkcs11signer" "$dir/" || fail "no copy of the command"
  if [[ $card == yes ]]; then
    cc -D_GNU_SOURCE -o "$dir/card" "$here"/regression-tests/harness/native/schsm/*.c -lcrypto || fail "no card"
  fi
}

# The rest of this script as user pdns.
become_pdns() {
  chmod -R u=rwX,go= "$dir"
  chown -R pdns: "$dir" || fail "$dir could not be given to user pdns"
  cd "$dir" || fail "$dir is gone"
  PKCS11SIGNER_DEMO=$dir HOME=$dir exec setpriv --reuid=pdns --regid=pdns --init-groups \
    bash -c "$(<"$script")" "$0" "$@"
}

softhsm() {
  LIBRARY=$(first_of /usr/lib/softhsm/libsofthsm2.so /usr/lib/*/softhsm/libsofthsm2.so) ||
    fail "SoftHSM is not installed"
  MODULE=softhsm2 TOKEN=demo
  cat >"$dir/etc/softhsm2.conf" <<END
directories.tokendir = $dir/tokens
log.level = ERROR
END
}

# pcscd with a reader of its own only, and the card in it, in namespaces: its socket is in $dir.
smartcard() {
  local driver port=15963
  LIBRARY=$(first_of /usr/lib/*/opensc-pkcs11.so) || fail "OpenSC is not installed"
  MODULE=opensc TOKEN=DENK0100042
  driver=$(first_of /usr/lib/pcsc/drivers/serial/libifdvpcd.so) || fail "vsmartcard-vpcd is not installed"
  cp "$driver" "$dir/readers/driver.so"
  mkdir "$dir/readers/none" "$dir/readers/etc"
  printf '%s\n' 'FRIENDLYNAME "Demo"' "DEVICENAME /dev/null:$port" "LIBPATH $dir/readers/driver.so" \
    "CHANNELID $port" >"$dir/readers/etc/demo"
  # shellcheck disable=SC2016
  setsid unshare --map-root-user --mount --net --propagation private bash -euc '
    ip link set lo up
    mount -t tmpfs none /run
    mkdir /run/pcscd
    mount --bind "$0/pcscd" /run/pcscd
    mount --bind "$0/readers/none" /usr/lib/pcsc/drivers
    setpriv --pdeathsig TERM "$0/card" "$0/memory" "$0/control" "$1" "$2" &
    pcscd --help | grep -q disable-polkit && set -- --disable-polkit || set --
    exec pcscd --foreground --config "$0/readers/etc" "$@"
    ' "$dir" "$TOKEN" "$port" >"$dir/pcscd.log" 2>&1 &
  pids+=($!)
  echo 'app default { }' >"$dir/etc/opensc.conf"
  wait_until "the card" $! card_is_seen || fail "this machine lets no pcscd run in namespaces"
}
card_is_seen() { opensc-tool --list-readers | grep " Yes "; }

gsqlite3() {
  settings="gsqlite3-database=$dir/pdns.sqlite3"
  sql() { sqlite3 "$dir/pdns.sqlite3"; }
  sql <"$(first_of /usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql \
    /usr/share/doc/pdns-backend-sqlite3/schema.sqlite3.sql)" || fail "no SQLite database"
}

gmysql() {
  local me
  me=$(id -un)
  settings=$(printf '%s\n' "gmysql-socket=$dir/mysql.sock" gmysql-user=root gmysql-dbname=pdns)
  sql() { mariadb --no-defaults -u root -S "$dir/mysql.sock" -N -r "${1-pdns}"; }
  mariadb-install-db --no-defaults --datadir="$dir/mysql" --skip-test-db --user="$me" \
    --auth-root-authentication-method=normal >"$dir/mariadb.log" 2>&1 || fail "no MariaDB"
  setsid mariadbd --no-defaults --datadir="$dir/mysql" --socket="$dir/mysql.sock" --skip-networking \
    --pid-file="$dir/mysql.pid" --user="$me" >>"$dir/mariadb.log" 2>&1 &
  pids+=($!)
  wait_until MariaDB $! mariadb-admin --no-defaults -u root -S "$dir/mysql.sock" ping || fail "MariaDB ended"
  sql "" <<<"CREATE DATABASE pdns" || fail "no MySQL database"
  sql <"$(first_of /usr/share/pdns-backend-mysql/schema/schema.mysql.sql \
    /usr/share/doc/pdns-backend-mysql/schema.mysql.sql)" || fail "no MySQL database"
}

configure() { # port
  cat >"$dir/etc/pdns.conf" <<END
launch=pkcs11signer,$database
pkcs11signer-pin-source=file:$dir/etc/pin
pkcs11signer-state-dir=$dir/state
$settings
$database-dnssec=yes
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

# --- the walk -----------------------------------------------------------------

if [[ -z $dir ]]; then
  script=$(readlink -f "$0")
  prepare
  [[ $(id -u) != 0 ]] || become_pdns "$@"
fi

umask 077
printf '%s\n' "$PIN" >"$dir/etc/pin"
if [[ $card == yes ]]; then kind=smartcard; else kind=softhsm; fi

# So that each command below can be typed as it is shown.
unset "${!P11_KIT_@}" PKCS11SIGNER_PROBE
cat >"$dir/environment" <<END
export XDG_CONFIG_HOME=$dir/xdg SOFTHSM2_CONF=$dir/etc/softhsm2.conf
export OPENSC_CONF=$dir/etc/opensc.conf PCSCLITE_CSOCK_NAME=$dir/pcscd/pcscd.comm
pdnsutil() { command pdnsutil --config-dir=$dir/etc "\$@"; }
pkcs11signer() { $dir/pkcs11signer --config-dir=$dir/etc "\$@"; }
END
# shellcheck disable=SC1091
. "$dir/environment"

"$kind"
echo "user-config: only" >"$dir/xdg/pkcs11/pkcs11.conf"
echo "module: $LIBRARY" >"$dir/xdg/pkcs11/modules/$MODULE.module"
backends=$(first_of /usr/lib/*/pdns) || fail "PowerDNS has no backends installed"
for backend in "$backends"/lib*backend.so; do
  [[ -e $dir/modules/${backend##*/} ]] || ln -s "$backend" "$dir/modules/"
done
port=$((RANDOM % 30000 + 20000))
"$database"
configure "$port"

step "The module is launched before the database, and knows where the PIN is"
run head -n 3 "$dir/etc/pdns.conf"
printf '   From here on, pdnsutil and pkcs11signer get --config-dir=%s.\n' "$dir/etc"

step "A token"
if [[ $card == yes ]]; then
  run sc-hsm-tool --initialize --so-pin 3537363231383830 --pin "$PIN"
else
  run softhsm2-util --init-token --free --label "$TOKEN" --pin "$PIN" --so-pin "$PIN"
fi
run pkcs11signer tokens
expect "the token is listed" "$TOKEN"

step "A zone, and two keys that are made on the token"
run pdnsutil create-zone "$ZONE" "ns1.$ZONE"
run pdnsutil add-record "$ZONE" www A 192.0.2.80
for role in ksk zsk; do
  run pkcs11signer generate "$ZONE" ecdsa256 "$role" "$MODULE" "$TOKEN" "" "$ZONE-$role"
done
run pdnsutil rectify-zone "$ZONE"
run pkcs11signer check "$ZONE"
expect "both keys sign" "2 keys checked, 0 failed"

step "What the database has of the first key: no private key, and no PIN"
printf '   $ SELECT content FROM cryptokeys LIMIT 1;\n'
last=$(sql <<<"SELECT content FROM cryptokeys ORDER BY id LIMIT 1") || fail "the table can not be read"
printf '%s\n' "$last" | sed 's/^/     /'
expect "it names the key" "^Label: $ZONE-ksk$"
expect "the public key is pinned" "^PublicKey: [A-Za-z0-9+/]{80,}"
expect "there is no private key" "PrivateKey|$PIN" no

step "What goes to the parent zone"
run pdnsutil export-zone-ds "$ZONE"
expect "a DS record" "$ZONE\. IN DS "

step "The server signs as it answers"
for ((attempt = 0; attempt < 5; attempt++)); do
  setsid pdns_server --config-dir="$dir/etc" --daemon=no --guardian=no >"$dir/pdns.log" 2>&1 &
  server=$!
  wait_until pdns_server "$server" dig +time=1 +tries=1 @127.0.0.1 -p "$port" "$ZONE" SOA && break
  grep -Eqi "address already in use|unable to bind|binding to" "$dir/pdns.log" || fail "pdns_server ended"
  server='' port=$((RANDOM % 30000 + 20000))
  configure "$port"
done
[[ -n $server ]] || fail "no free port in five attempts"
pids=("$server" ${pids[@]+"${pids[@]}"})
dig=(dig @127.0.0.1 -p "$port" +dnssec +norecurse +noall +answer)
run "${dig[@]}" "$ZONE" DNSKEY
expect "a key signing key" "DNSKEY[[:space:]]+257 3 13"
expect "a signature of the keys" "RRSIG[[:space:]]+DNSKEY 13"
run "${dig[@]}" "www.$ZONE" A
expect "an address" "192\.0\.2\.80"
expect "its signature" "RRSIG[[:space:]]+A 13"

step "A validator is content, and believes that a name does not exist"
read -r flags protocol algorithm key <<<"$("${dig[@]}" +short "$ZONE" DNSKEY | grep '^257 ')"
cat >"$dir/etc/anchor" <<END
trust-anchors { $ZONE. static-key $flags $protocol $algorithm "${key// /}"; };
END
validate=(delv @127.0.0.1 -p "$port" -a "$dir/etc/anchor" +root="$ZONE")
run "${validate[@]}" "www.$ZONE" A
expect "fully validated" "^; fully validated"
run "${validate[@]}" "missing.$ZONE" A
expect "so is the denial" "^; negative response, fully validated"

if [[ $keep == no ]]; then
  step "DNSSEC off again: the rows go, the keys stay on the token"
  run pdnsutil disable-dnssec "$ZONE"
  run "${dig[@]}" "www.$ZONE" A
  expect "the answer is unsigned" "RRSIG" no
  run pkcs11signer keys "$MODULE" "$TOKEN"
  expect "the first key is there" "$ZONE-ksk"
  expect "the second key is there" "$ZONE-zsk"
fi

printf '\nAll was as expected. '
if [[ $keep == yes ]]; then
  cat <<END
The server goes on running; to work with it:

  cd $dir; ${PKCS11SIGNER_DEMO:+runuser -u pdns -- }bash --rcfile environment
  pkcs11signer help
  pkcs11signer status
  $(typed "${dig[@]}" "www.$ZONE")
  $(typed "${validate[@]}" "www.$ZONE")

The token's PIN is in $dir/etc/pin. When you are done:

  kill ${pids[*]}; rm -r $dir
END
else
  cat <<END
What next:

  ./demo.sh --keep           the same, and a server to play with (also with --card or --mysql)
  README.md                  the package, and the first zone on a server of yours
  docs/tutorial-smartcard-hsm.md, docs/tokens.md    a card or another token instead of SoftHSM
END
fi
