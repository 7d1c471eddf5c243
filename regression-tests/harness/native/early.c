/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Starts a sanitizer's runtime before p11-kit's constructor, which runs before the runtime's own.
 *
 * That constructor calls newlocale(), which takes the C library's lock on locales and then
 * malloc(); the runtime starts in there, looks for symbols that are missing, and has the error
 * translated. Translating takes that lock to read, which fails as this thread has it to write, and
 * then unlocks it all the same, so that it ends up with one reader less than none. Whoever wants to
 * write from then on waits for ever: p11-kit's destructor, at exit.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <locale.h>
#include <string.h>

extern void __asan_init(void) __attribute__((weak));
extern void __tsan_init(void) __attribute__((weak));

__attribute__((visibility("default"))) locale_t newlocale(int mask, const char *name, locale_t base)
{
  locale_t (*real)(int, const char *, locale_t) = NULL;
  void *found;

  if (__asan_init)
    __asan_init();
  if (__tsan_init)
    __tsan_init();
  found = dlsym(RTLD_NEXT, "newlocale");
  memcpy(&real, &found, sizeof(real)); /* an object pointer is no function pointer in C */
  return real(mask, name, base);
}
