// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include "shim/pdns-compat.hh"

#include <memory>
#include <string>

extern "C" {
#include "base/buf.h"
#include "format/keyref.h"
#include "sign/key_table.h"
}

// Owners of what the core hands out.
namespace pkcs11signer {
using RefOwner = std::unique_ptr<p11s_keyref, decltype(&p11s_keyref_free)>;
using KeyOwner = std::unique_ptr<p11s_key, decltype(&p11s_key_release)>;

// May hold a PIN: wiped at the end.
struct Text : p11s_buf {
  Text() : p11s_buf P11S_BUF_INIT {}
  ~Text() { p11s_buf_wipe(this); }
  Text(const Text &) = delete;
  Text &operator=(const Text &) = delete;

  // Throws DBException when memory was short.
  std::string text() const
  {
    if (failed) {
      throw DBException("out of memory");
    }
    return {p11s_buf_text(this), len};
  }
};
} // namespace pkcs11signer
