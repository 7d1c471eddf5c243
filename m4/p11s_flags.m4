# SPDX-License-Identifier: GPL-2.0-or-later
# Compiler and linker flags. Every one is tried before it is used.

# P11S_ADD_FLAGS(VARIABLE, FLAGS)
# Adds those of the blank-separated FLAGS to VARIABLE that the compiler of the
# current language takes.
AC_DEFUN([P11S_ADD_FLAGS], [
  AC_REQUIRE([AC_PROG_CC])
  for p11s_flag in $2; do
    AC_MSG_CHECKING([whether $_AC_CC takes $p11s_flag])
    p11s_saved=$[]_AC_LANG_PREFIX[]FLAGS
    # -Werror: a compiler that only warns about an unknown flag must not pass.
    _AC_LANG_PREFIX[]FLAGS="$p11s_saved $p11s_flag -Werror"
    AC_COMPILE_IFELSE([AC_LANG_SOURCE([[int p11s_probe;]])],
      [AC_MSG_RESULT([yes])
       AS_VAR_APPEND([$1], [" $p11s_flag"])],
      [AC_MSG_RESULT([no])])
    _AC_LANG_PREFIX[]FLAGS=$p11s_saved
  done
  AC_SUBST([$1])
])

# P11S_COMMON_FLAGS(VARIABLE)
# What C and C++ files are both built with.
AC_DEFUN([P11S_COMMON_FLAGS], [
  P11S_ADD_FLAGS([$1], [-Wall -Wextra -Wconversion -Wshadow])
  P11S_ADD_FLAGS([$1], [-fstack-protector-strong])
  # That a newer library would like another function better is no reason not to build.
  AS_IF([test "$enable_werror" = yes],
    [P11S_ADD_FLAGS([$1], [-Werror -Wno-error=deprecated-declarations])])
  AS_IF([test "$enable_sanitizers" != no], [
    p11s_before=$$1
    P11S_ADD_FLAGS([$1], [-fsanitize=$enable_sanitizers])
    AS_IF([test "$p11s_before" = "$$1"],
      [AC_MSG_ERROR([the compiler does not take -fsanitize=$enable_sanitizers. Use address,undefined or thread.])])
    P11S_ADD_FLAGS([$1], [-fno-omit-frame-pointer])
    # A finding must fail the test, not only be printed.
    AS_CASE([$enable_sanitizers],
      [*undefined*], [P11S_ADD_FLAGS([$1], [-fno-sanitize-recover=undefined])])
  ])
])

# P11S_LINK_FLAGS
# Sets P11S_LDFLAGS, and P11S_NO_UNDEFINED for what must find all its names at link time.
AC_DEFUN([P11S_LINK_FLAGS], [
  for p11s_flag in -Wl,-z,relro -Wl,-z,now; do
    AC_MSG_CHECKING([whether the linker takes $p11s_flag])
    p11s_saved=$LDFLAGS
    LDFLAGS="$LDFLAGS $p11s_flag"
    AC_LINK_IFELSE([AC_LANG_PROGRAM()],
      [AC_MSG_RESULT([yes])
       AS_VAR_APPEND([P11S_LDFLAGS], [" $p11s_flag"])],
      [AC_MSG_RESULT([no])])
    LDFLAGS=$p11s_saved
  done
  AS_IF([test "$enable_sanitizers" != no],
    [AS_VAR_APPEND([P11S_LDFLAGS], [" -fsanitize=$enable_sanitizers"])])
  # libtool links C++ libraries with -nostdlib: a sanitizer's runtime is the program's to bring along.
  AS_IF([test "$enable_sanitizers" = no], [P11S_NO_UNDEFINED=-Wl,--no-undefined])
  AC_SUBST([P11S_NO_UNDEFINED])
  AC_SUBST([P11S_LDFLAGS])
])

# P11S_FORTIFY
# Sets P11S_CPPFLAGS. Fortified calls need optimising, and hide from sanitizers;
# whoever defines the level himself (dpkg-buildflags does) is left alone.
AC_DEFUN([P11S_FORTIFY], [
  AC_MSG_CHECKING([for the _FORTIFY_SOURCE level])
  AS_CASE([" $CPPFLAGS $CFLAGS $CXXFLAGS "],
    [*_FORTIFY_SOURCE*], [p11s_fortify="left as given"],
    [*" -O0 "*], [p11s_fortify="none, not optimising"],
    [*" -O"*], [p11s_fortify=2],
    [p11s_fortify="none, not optimising"])
  AS_IF([test "$enable_sanitizers" != no], [p11s_fortify="none, with sanitizers"])
  AS_IF([test "$p11s_fortify" = 2],
    [AS_VAR_APPEND([P11S_CPPFLAGS], [" -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2"])])
  AC_MSG_RESULT([$p11s_fortify])
  AC_SUBST([P11S_CPPFLAGS])
])

# P11S_FUZZER_FLAGS
# With --enable-fuzzers: adds what libFuzzer needs to P11S_CFLAGS, and sets P11S_FUZZER_LDFLAGS for
# the programs that are fuzzers.
AC_DEFUN([P11S_FUZZER_FLAGS], [
  AS_IF([test "$enable_fuzzers" != no], [
    AC_MSG_CHECKING([whether $CC has libFuzzer])
    p11s_saved=$CFLAGS
    CFLAGS="$CFLAGS -fsanitize=fuzzer"
    AC_LINK_IFELSE(
      [AC_LANG_SOURCE([[#include <stddef.h>
#include <stdint.h>
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) { return data == 0 && size > 0; }]])],
      [AC_MSG_RESULT([yes])],
      [AC_MSG_RESULT([no])
       AC_MSG_ERROR([--enable-fuzzers needs clang and its runtime: CC=clang. On Debian: apt-get install clang libclang-rt-dev])])
    CFLAGS=$p11s_saved
    AS_VAR_APPEND([P11S_CFLAGS], [" -fsanitize=fuzzer-no-link"])
    P11S_FUZZER_LDFLAGS=-fsanitize=fuzzer
  ])
  AC_SUBST([P11S_FUZZER_LDFLAGS])
])

# P11S_PTHREAD
# Adds -pthread to the flags of both languages and to the link.
AC_DEFUN([P11S_PTHREAD], [
  AC_MSG_CHECKING([for POSIX threads])
  p11s_saved=$CFLAGS
  CFLAGS="$CFLAGS -pthread"
  AC_LINK_IFELSE(
    [AC_LANG_PROGRAM([[#include <pthread.h>
static void *run(void *p) { return p; }]],
      [[pthread_t t; return pthread_create(&t, 0, run, 0);]])],
    [AC_MSG_RESULT([-pthread])],
    [AC_MSG_RESULT([no])
     AC_MSG_ERROR([POSIX threads are needed, and a program using them does not link.])])
  CFLAGS=$p11s_saved
  AS_VAR_APPEND([P11S_CFLAGS], [" -pthread"])
  AS_VAR_APPEND([P11S_CXXFLAGS], [" -pthread"])
  AS_VAR_APPEND([P11S_LDFLAGS], [" -pthread"])
])
