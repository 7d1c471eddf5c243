# SPDX-License-Identifier: GPL-2.0-or-later
# The MySQL client library, for pkcs11signer-store=mysql.

# P11S_MYSQL
# --with-mysql. Sets MYSQL_CFLAGS, MYSQL_LIBS, have_mysql and the conditional WITH_MYSQL. MariaDB's
# library first, then MySQL's, by pkg-config or else by their own programs.
AC_DEFUN([P11S_MYSQL], [
  AC_ARG_WITH([mysql],
    [AS_HELP_STRING([--with-mysql],
      [pkcs11signer-store=mysql; without: leave it out @<:@if there is a client library@:>@])],
    [], [with_mysql=check])
  have_mysql=no
  AS_IF([test "$with_mysql" != no], [
    PKG_CHECK_MODULES([MYSQL], [libmariadb], [have_mysql=yes],
      [PKG_CHECK_MODULES([MYSQL], [mysqlclient], [have_mysql=yes], [have_mysql=no])])
    AS_IF([test "$have_mysql" = no], [
      AC_PATH_PROGS([MYSQL_CONFIG], [mariadb_config mysql_config])
      AS_IF([test -n "$MYSQL_CONFIG"], [
        MYSQL_CFLAGS=`$MYSQL_CONFIG --include`
        MYSQL_LIBS=`$MYSQL_CONFIG --libs`
        have_mysql=yes])])
  ])
  AS_IF([test "$have_mysql" = no], [
    MYSQL_CFLAGS= MYSQL_LIBS=
    AS_CASE([$with_mysql],
      [yes], [AC_MSG_ERROR([no MySQL client library was found. On Debian: apt-get install libmariadb-dev])],
      [check], [AC_MSG_WARN([no MySQL client library was found: pkcs11signer-store=mysql is left out. On Debian: apt-get install libmariadb-dev])])])
  AC_SUBST([MYSQL_CFLAGS])
  AC_SUBST([MYSQL_LIBS])
  AM_CONDITIONAL([WITH_MYSQL], [test "$have_mysql" = yes])
])
