/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "admin/forecast.h"

#include "base/err.h"
#include "base/text.h"
#include "format/message.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define AHEAD_WITHIN_S (5 * 86400u)
#define BRIEF_S 10 /* what is done so soon need not be done sooner */
#define HELPS 1.3  /* so much more with more sessions is worth having */

static uint64_t seconds_for(uint64_t signatures, double rate)
{
  return (uint64_t)((double)signatures / rate + 0.999);
}

void p11s_forecast_make(const struct p11s_forecast_input *in, struct p11s_forecast *ret)
{
  unsigned best = p11s_speed_best(&in->rate);
  struct p11s_forecast f;

  memset(&f, 0, sizeof f);
  if (best < P11S_SPEED_LEVELS) {
    f.rate = p11s_speed_at(&in->rate, best);
    f.sessions = p11s_speed_sessions(&in->rate, best);
    f.refill_s = seconds_for(in->week, f.rate);
    f.ahead_s = seconds_for(in->week, f.rate / 2);
    f.keys_refill_s = seconds_for(in->of_keys, f.rate);
    f.keeps_up = f.refill_s > P11S_WEEK_SECONDS ? P11S_KEEPS_UP_NO
                 : f.ahead_s > AHEAD_WITHIN_S   ? P11S_KEEPS_UP_LATE
                                                : P11S_KEEPS_UP_YES;
  }
  *ret = f;
}

const char *p11s_forecast_keeps_up_name(enum p11s_keeps_up keeps_up)
{
  static const char *const name[] = {"unknown", "yes", "late", "no"};

  return name[keeps_up];
}

static void end(struct p11s_buf *out)
{
  p11s_buf_add(out, "", 1);
}

static void say_boundary(const struct p11s_forecast_input *in, const struct p11s_forecast *f,
                         struct p11s_buf *out)
{
  char refill[32], ahead[32];

  p11s_duration(refill, sizeof refill, f->refill_s);
  p11s_duration(ahead, sizeof ahead, f->ahead_s);
  if (f->keeps_up == P11S_KEEPS_UP_NO) {
    p11s_buf_addf(out,
                  "a week's %" PRIu64 " signature%s take%s it %s: it never catches up, and names "
                  "that it does not get to get SERVFAIL",
                  in->week, p11s_plural(in->week), in->week == 1 ? "s" : "", refill);
  } else if (in->ahead == 0) {
    p11s_buf_addf(
        out,
        "when the week turns, Thursday 00:00 UTC, names are signed anew as they are asked "
        "for: it is busy for up to %s, and what has to wait longer than "
        "pkcs11signer-timeout gets SERVFAIL. With pkcs11signer-sign-ahead=1 there is no "
        "such burst",
        refill);
  } else if (f->keeps_up == P11S_KEEPS_UP_LATE) {
    p11s_buf_addf(
        out,
        "next week's signatures, made ahead at half its speed, take %s: not done two days "
        "before the week turns. It is asked to work harder then, and queries find it "
        "busy more often",
        ahead);
  } else {
    p11s_buf_addf(out,
                  "next week's signatures are made ahead in %s, at half its speed: no burst "
                  "when the week turns",
                  ahead);
  }
  end(out);
}

static void advise_ksk_only(const struct p11s_forecast_input *in, const struct p11s_forecast *f,
                            struct p11s_buf *out)
{
  char keys[32];

  if (in->of_keys == 0 || in->of_keys == in->week)
    return;
  p11s_duration(keys, sizeof keys, f->keys_refill_s);
  p11s_buf_addf(out,
                "KSK only on the token, ZSK in software: %" PRIu64 " signature%s a week instead of "
                "%" PRIu64 ", made in %s (pdnsutil add-zone-key ZONE zsk active; then deactivate "
                "the token's)",
                in->of_keys, p11s_plural(in->of_keys), in->week, keys);
  end(out);
}

/* The highest level that was measured below this one; P11S_SPEED_LEVELS: none. */
static unsigned level_below(const struct p11s_speed *rate, unsigned level)
{
  while (level-- > 0)
    if (p11s_speed_at(rate, level) > 0)
      return level;
  return P11S_SPEED_LEVELS;
}

static void advise_sessions(const struct p11s_forecast_input *in, struct p11s_buf *out)
{
  unsigned high = level_below(&in->rate, P11S_SPEED_LEVELS), low = level_below(&in->rate, high);
  double rate = p11s_speed_at(&in->rate, high), sessions = p11s_speed_sessions(&in->rate, high);

  if (low == P11S_SPEED_LEVELS) {
    p11s_buf_addf(out,
                  "more sessions: not known. It has signed with %.0f at once only; forecast "
                  "--measure tries",
                  sessions);
  } else if (rate < HELPS * p11s_speed_at(&in->rate, low)) {
    p11s_buf_addf(
        out, "more sessions do not help: %.1f signatures a second with %.0f, %.1f with %.0f", rate,
        sessions, p11s_speed_at(&in->rate, low), p11s_speed_sessions(&in->rate, low));
  } else if (in->room != 0 && in->room < in->sessions) {
    p11s_buf_addf(out, "more sessions: the token has no more than %u", in->room);
  } else if (in->sessions < 64) {
    p11s_buf_addf(out,
                  "more sessions may help: %.1f signatures a second with %.0f, %.1f with %.0f. Try "
                  "pkcs11signer-sessions=%u",
                  rate, sessions, p11s_speed_at(&in->rate, low),
                  p11s_speed_sessions(&in->rate, low), in->sessions < 32 ? in->sessions * 2 : 64);
  } else {
    return;
  }
  end(out);
}

static void advise_another_token(const struct p11s_forecast_input *in,
                                 const struct p11s_forecast *f, struct p11s_buf *out)
{
  uint64_t least = seconds_for(in->week, f->rate / 2) / AHEAD_WITHIN_S + 1;
  char half[32];

  p11s_duration(half, sizeof half, f->refill_s / 2);
  if (f->keeps_up == P11S_KEEPS_UP_YES)
    p11s_buf_addf(out, "another token for half of the zones: %s for each", half);
  else
    p11s_buf_addf(
        out, "more tokens of this speed, the zones divided among them: %" PRIu64 " keep up", least);
  end(out);
}

void p11s_forecast_advise(const struct p11s_forecast_input *in, const struct p11s_forecast *f,
                          struct p11s_buf *out)
{
  if (f->keeps_up == P11S_KEEPS_UP_UNKNOWN) {
    p11s_buf_addstr(out, "no running server has signed with it lately, so its speed is not known; "
                         "forecast --measure has it make a few signatures");
    end(out);
    return;
  }
  if (in->week == 0)
    return;
  say_boundary(in, f, out);
  if (f->refill_s < BRIEF_S)
    return;
  advise_ksk_only(in, f, out);
  advise_sessions(in, out);
  advise_another_token(in, f, out);
}
