/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "format/rrset.h"

#include "format/dnsname.h"
#include "format/message.h"

/* Those that are signed; IANA "Resource Record (RR) TYPEs". */
static const struct {
  unsigned type;
  const char *name;
} types[] = {
    {1, "A"},       {2, "NS"},       {5, "CNAME"},       {6, "SOA"},       {12, "PTR"},
    {13, "HINFO"},  {15, "MX"},      {16, "TXT"},        {17, "RP"},       {18, "AFSDB"},
    {28, "AAAA"},   {29, "LOC"},     {33, "SRV"},        {35, "NAPTR"},    {37, "CERT"},
    {39, "DNAME"},  {43, "DS"},      {44, "SSHFP"},      {45, "IPSECKEY"}, {47, "NSEC"},
    {48, "DNSKEY"}, {50, "NSEC3"},   {51, "NSEC3PARAM"}, {52, "TLSA"},     {53, "SMIMEA"},
    {59, "CDS"},    {60, "CDNSKEY"}, {61, "OPENPGPKEY"}, {62, "CSYNC"},    {63, "ZONEMD"},
    {64, "SVCB"},   {65, "HTTPS"},   {99, "SPF"},        {256, "URI"},     {257, "CAA"},
};

static void add_type(unsigned type, struct p11s_buf *out)
{
  for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
    if (types[i].type == type) {
      p11s_buf_addstr(out, types[i].name);
      return;
    }
  p11s_buf_addf(out, "TYPE%u", type);
}

bool p11s_rrset_format(const unsigned char *message, size_t len, struct p11s_buf *out)
{
  struct p11s_message parsed;

  if (!p11s_message_parse(message, len, &parsed) || parsed.owner == NULL)
    return false;
  p11s_buf_addstr(out, "RRset ");
  p11s_dnsname_format(parsed.owner, out);
  p11s_buf_addstr(out, " ");
  add_type(parsed.type, out);
  return true;
}
