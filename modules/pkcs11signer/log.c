/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "log.h"

#include "err.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>

static _Atomic(p11s_log_sink) the_sink;

void p11s_log_set_sink(p11s_log_sink sink)
{
  atomic_store(&the_sink, sink);
}

void p11s_log_debug(const char *format, ...)
{
  p11s_log_sink sink = atomic_load(&the_sink);
  char line[1024];
  va_list args;
  int n;

  if (sink == NULL)
    return;
  va_start(args, format);
  n = vsnprintf(line, sizeof line, format, args);
  va_end(args);
  if (n < 0)
    return;
  p11s_error_clean(line);
  sink(line);
}
