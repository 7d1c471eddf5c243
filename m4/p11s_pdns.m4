# SPDX-License-Identifier: GPL-2.0-or-later
# The PowerDNS that the module is built for.

# P11S_PDNS_BRANCH(VARIABLE, VERSION)
# 4.9 of 4.9.18.
AC_DEFUN([P11S_PDNS_BRANCH],
  [$1=`AS_ECHO(["$2"]) | sed 's/^\(@<:@0-9@:>@*\.@<:@0-9@:>@*\)\..*/\1/'`])

# P11S_PDNS_SOURCE
# --with-pdns-source and --with-pdns-version. Sets PDNS_SOURCE, PDNS_CPPFLAGS, P11S_PDNS_VERSION and
# P11S_PDNS_NUMBER.
AC_DEFUN([P11S_PDNS_SOURCE], [
  AC_ARG_WITH([pdns-source],
    [AS_HELP_STRING([--with-pdns-source=DIR],
      [unpacked source of the installed PowerDNS (required)])],
    [], [with_pdns_source=])
  AS_CASE([$with_pdns_source],
    [''|yes|no], [AC_MSG_ERROR([--with-pdns-source=DIR is needed: the unpacked source of the PowerDNS you run. ./setup.sh fetches it and calls configure, or get it with "apt-get source pdns".])])
  AS_IF([test ! -f "$with_pdns_source/pdns/dnsbackend.hh"],
    [AC_MSG_ERROR(["$with_pdns_source" is not a PowerDNS source tree (pdns/dnsbackend.hh is not in it). Give --with-pdns-source the directory that "apt-get source pdns" unpacks.])])
  PDNS_SOURCE=`cd "$with_pdns_source" && pwd`
  AC_SUBST([PDNS_SOURCE])

  AC_MSG_CHECKING([for the version of the PowerDNS source])
  # Releases have a generated configure or a .version file. A tag of the repository has neither: there
  # the directory says it, as pdns-4.9.17.
  P11S_PDNS_VERSION=
  AS_IF([test -f "$PDNS_SOURCE/configure"],
    [P11S_PDNS_VERSION=`sed -n "s/^PACKAGE_VERSION='\(.*\)'$/\1/p" "$PDNS_SOURCE/configure" | sed 1q`])
  AS_IF([test -z "$P11S_PDNS_VERSION" && test -f "$PDNS_SOURCE/configure.ac"],
    [P11S_PDNS_VERSION=`sed -n 's/^AC.INIT(@<:@@<:@@:>@pdns@<:@@:>@@:>@, *@<:@@<:@@:>@\(@<:@0-9@:>@@<:@^@:>@@:>@*\)@:>@*).*/\1/p' "$PDNS_SOURCE/configure.ac"`])
  AS_IF([test -z "$P11S_PDNS_VERSION" && test -f "$PDNS_SOURCE/.version"],
    [P11S_PDNS_VERSION=`sed 1q "$PDNS_SOURCE/.version"`])
  AS_IF([test -z "$P11S_PDNS_VERSION"],
    [P11S_PDNS_VERSION=`AS_ECHO(["$PDNS_SOURCE"]) | sed -n 's,.*/pdns-\(@<:@0-9@:>@@<:@^/@:>@*\)$,\1,p'`])
  AS_IF([test -z "$P11S_PDNS_VERSION"],
    [AC_MSG_RESULT([unknown])
     AC_MSG_ERROR(["$PDNS_SOURCE" does not say which PowerDNS version it is. Use the source of a release, as "apt-get source pdns" unpacks it, or call the directory of a tag pdns-VERSION.])])
  AC_MSG_RESULT([$P11S_PDNS_VERSION])

  AC_ARG_WITH([pdns-version],
    [AS_HELP_STRING([--with-pdns-version=VERSION],
      [the PowerDNS you run, when the source is of another release of the same branch; the tests must then show that it works])],
    [], [with_pdns_version=])
  AS_CASE([$with_pdns_version],
    [''|yes|no|$P11S_PDNS_VERSION], [],
    [P11S_PDNS_BRANCH([p11s_theirs], [$P11S_PDNS_VERSION])
     P11S_PDNS_BRANCH([p11s_wanted], [$with_pdns_version])
     AS_IF([test "$p11s_theirs" != "$p11s_wanted"],
       [AC_MSG_ERROR([the headers of PowerDNS $P11S_PDNS_VERSION will not do for "$with_pdns_version": give --with-pdns-source a source of that branch.])])
     AC_MSG_WARN([the headers of PowerDNS $P11S_PDNS_VERSION are taken for those of $with_pdns_version.])
     P11S_PDNS_VERSION=$with_pdns_version])
  # 4.9.18 is 40918. What follows the third number (-rc1) does not count.
  P11S_PDNS_NUMBER=`AS_ECHO(["$P11S_PDNS_VERSION"]) | sed -n 's/^\(@<:@0-9@:>@@<:@0-9@:>@*\)\.\(@<:@0-9@:>@@<:@0-9@:>@*\)\.\(@<:@0-9@:>@@<:@0-9@:>@*\).*/\1 \2 \3/p' | awk '{ print ($[]1 * 100 + $[]2) * 100 + $[]3 }'`
  AS_IF([test -z "$P11S_PDNS_NUMBER"],
    [AC_MSG_ERROR(["$P11S_PDNS_VERSION" is not the version of a PowerDNS release, such as 4.9.18.])])
  AS_IF([test "$P11S_PDNS_NUMBER" -lt 40700],
    [AC_MSG_ERROR([PowerDNS $P11S_PDNS_VERSION is too old: 4.7 is the oldest that this module knows.])])
  AS_IF([test "$P11S_PDNS_NUMBER" -ge 50200],
    [AC_MSG_WARN([PowerDNS $P11S_PDNS_VERSION is newer than all that this module was tried with (4.7, 4.9, 5.1); run ./check.sh])])
  AC_SUBST([P11S_PDNS_VERSION])
  AC_DEFINE_UNQUOTED([P11S_PDNS_VERSION], ["$P11S_PDNS_VERSION"],
    [The PowerDNS version that the module is built for.])
  AC_DEFINE_UNQUOTED([P11S_PDNS_NUMBER], [$P11S_PDNS_NUMBER],
    [The same as a number: 40918 for 4.9.18.])

  # Some PowerDNS headers include "config.h" whatever is defined, and the source
  # is not configured. They find an empty one; what they ask for is defined below.
  # Written once: what includes it need not be compiled again.
  AS_MKDIR_P([pdns-config])
  AS_IF([test ! -f pdns-config/config.h],
    [AS_ECHO(["/* Empty: for PowerDNS headers that include config.h. */"]) >pdns-config/config.h])

  # -isystem: warnings in PowerDNS headers are not ours.
  PDNS_CPPFLAGS="-isystem `pwd`/pdns-config -isystem $PDNS_SOURCE -isystem $PDNS_SOURCE/pdns"
  PDNS_CPPFLAGS="$PDNS_CPPFLAGS -DPDNS_AUTH -DHAVE_LIBCRYPTO -DHAVE_EVP_MD_CTX_NEW -DHAVE_EVP_MD_CTX_FREE"
  AC_SUBST([PDNS_CPPFLAGS])

  AC_LANG_PUSH([C++])
  p11s_saved_CPPFLAGS=$CPPFLAGS
  p11s_saved_CXXFLAGS=$CXXFLAGS
  CXXFLAGS="$CXXFLAGS -std=c++17"
  AC_CHECK_HEADER([boost/version.hpp], [],
    [AC_MSG_ERROR([the boost headers were not found; PowerDNS headers need them. On Debian: apt-get install libboost-dev])])
  # Not with AC_CHECK_HEADER: its confdefs.h holds PACKAGE_VERSION and the like.
  AC_MSG_CHECKING([whether the PowerDNS headers compile])
  CPPFLAGS="$CPPFLAGS $CRYPTO_CFLAGS $PDNS_CPPFLAGS"
  AC_COMPILE_IFELSE([AC_LANG_SOURCE([[
#include "dnsbackend.hh"
#include "ueberbackend.hh"
#include "dnssecinfra.hh"
#include "dnsseckeeper.hh"
#include "arguments.hh"
#include "logger.hh"
#include "statbag.hh"
]])],
    [AC_MSG_RESULT([yes])],
    [AC_MSG_RESULT([no])
     AC_MSG_ERROR([the headers in "$PDNS_SOURCE" do not compile; config.log has the compiler's words. Is the source complete, and of a version that this module knows?])])
  CPPFLAGS=$p11s_saved_CPPFLAGS
  CXXFLAGS=$p11s_saved_CXXFLAGS
  AC_LANG_POP([C++])
])

# P11S_PDNS_SERVER
# The server that is installed must be of the source's version: the module calls
# into it by the layout that the headers state.
AC_DEFUN([P11S_PDNS_SERVER], [
  AC_ARG_VAR([PDNS_SERVER], [pdns_server program whose version is compared])
  AC_ARG_VAR([PDNSUTIL], [pdnsutil program that must have what the module needs, too])
  AC_PATH_PROG([PDNSUTIL], [pdnsutil], [], [$PATH$PATH_SEPARATOR/usr/local/bin$PATH_SEPARATOR/usr/bin])
  AC_PATH_PROG([PDNS_SERVER], [pdns_server], [],
    [$PATH$PATH_SEPARATOR/usr/local/sbin$PATH_SEPARATOR/usr/sbin$PATH_SEPARATOR/sbin])
  AS_IF([test -z "$PDNS_SERVER"],
    [AC_MSG_WARN([pdns_server was not found, so its version was not compared with $P11S_PDNS_VERSION; the module runs only in that version. PDNS_SERVER=PATH names one.])],
    [AC_MSG_CHECKING([for the version of $PDNS_SERVER])
     # Even then it has p11-kit load all modules of the machine, unless a user other than root has none.
     p11s_none=`mktemp -d` && mkdir "$p11s_none/pkcs11"
     AS_ECHO(["user-config: only"]) >"$p11s_none/pkcs11/pkcs11.conf"
     chmod -R a+rX "$p11s_none"
     p11s_as="env XDG_CONFIG_HOME=$p11s_none"
     AS_IF([test "`id -u`" = 0], [p11s_as="setpriv --reuid=65534 --regid=65534 --clear-groups $p11s_as"])
     for p11s_with in "$p11s_as" ''; do
       p11s_running=`$p11s_with "$PDNS_SERVER" --version 2>&1 | sed -n 's/.*PowerDNS Authoritative Server \(@<:@^ @:>@*\).*/\1/p' | sed 1q`
       AS_IF([test -n "$p11s_running"], [break])
     done
     rm -rf "$p11s_none"
     AC_MSG_RESULT([${p11s_running:-unknown}])
     AS_IF([test "$p11s_running" != "$P11S_PDNS_VERSION"],
       [AC_MSG_ERROR([$PDNS_SERVER is version ${p11s_running:-unknown}, but the source in "$PDNS_SOURCE" is $P11S_PDNS_VERSION: run ./setup.sh again, or give --with-pdns-source the source of ${p11s_running:-that version}.])])])
])

# P11S_CHECK_MODULE_DIR
# --with-module-dir. By default the directory where the installed PowerDNS looks.
AC_DEFUN([P11S_CHECK_MODULE_DIR], [
  AC_ARG_WITH([module-dir],
    [AS_HELP_STRING([--with-module-dir=DIR],
      [where PowerDNS looks for modules @<:@that of the installed PowerDNS@:>@])],
    [], [with_module_dir=])
  AC_MSG_CHECKING([where PowerDNS looks for modules])
  AS_CASE([$with_module_dir],
    [/*|'$'*], [P11S_MODULE_DIR=$with_module_dir],
    [''|yes|no], [
      P11S_MODULE_DIR=
      p11s_multiarch=`$CC -print-multiarch 2>/dev/null`
      for p11s_dir in ${p11s_multiarch:+/usr/lib/$p11s_multiarch/pdns} \
          /usr/lib64/pdns /usr/lib/pdns /usr/local/lib/pdns; do
        AS_IF([test -d "$p11s_dir"], [P11S_MODULE_DIR=$p11s_dir; break])
      done
      AS_IF([test -z "$P11S_MODULE_DIR"], [P11S_MODULE_DIR='${libdir}/pdns'])],
    [AC_MSG_ERROR([--with-module-dir needs an absolute path, not "$with_module_dir".])])
  AC_MSG_RESULT([$P11S_MODULE_DIR])
  AC_SUBST([P11S_MODULE_DIR])
])
