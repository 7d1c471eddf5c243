/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * Which serials PowerDNS serves in a zone's SOA record, by the zone's SOA-EDIT: its
 * calculateEditSOA(), for any week instead of the present one.
 *
 * Without soa-edit-spread (PowerDNS 5.1.3) a week has one serial. With it, the serial of the week
 * before is served until some time of the week that PowerDNS computes from the zone's name.
 *
 * Times are seconds since 1970; a week is named by its start (format/message.h).
 * INCEPTION-INCREMENT takes the local date, of this process's TZ. Pure functions otherwise; no
 * locks.
 */
enum p11s_soa_edit_kind {
  P11S_SOA_EDIT_NONE, /* the zone's own serial */
  P11S_SOA_EDIT_INCEPTION_INCREMENT,
  P11S_SOA_EDIT_INCREMENT_WEEKS,
  P11S_SOA_EDIT_INCEPTION_EPOCH,
  P11S_SOA_EDIT_EPOCH, /* the time of the answer: nobody knows it before */
};

struct p11s_soa_edit {
  enum p11s_soa_edit_kind kind;
  uint32_t serial; /* that stands in the zone */
  uint32_t delay;  /* of the week's serial, seconds; a week or more: it is served a week later */
};

/* As in the metadata and settings, in any case. What PowerDNS does not know either is NONE, as it
   takes it. */
enum p11s_soa_edit_kind p11s_soa_edit_parse(const char *text);

#define P11S_SOA_EDIT_SERIALS 2
/* The serials that are served in the week, from that moment of it on (its start, or before: in all
   of it), in this order. Returns how many: 1 or 2; with EPOCH 0. */
unsigned p11s_soa_edit_serials(const struct p11s_soa_edit *edit, uint32_t week, uint32_t from,
                               uint32_t ret_serials[P11S_SOA_EDIT_SERIALS]);
