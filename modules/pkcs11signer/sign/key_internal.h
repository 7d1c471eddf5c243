/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/lock.h"
#include "sign/key.h"
#include "token/job.h"
#include "pkcs11/keypair.h"
#include "pkcs11/object.h"
#include "pkcs11/session.h"
#include "token/token.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

/* What lengths of whole messages the token takes from a key, as far as has been seen. No lock: each
   is right at any time, and nothing hangs on two of them together. */
struct p11s_lengths {
  atomic_bool whole;     /* messages are signed whole, not their digests */
  atomic_size_t longest; /* the longest that was signed; 0: none yet, as is */
  atomic_size_t refused; /* the shortest that C_Sign refused for its length */
  atomic_bool no_parts;  /* and C_SignUpdate was refused as well */
};

/* Shared by sign/key.c (the object), sign/key_work.c (what workers do), sign/key_match.c,
 * sign/key_sign.c, sign/key_job.c (asking them to), sign/key_store.c (what is kept) and
 * sign/key_table.c. */
LIST_HEAD(p11s_key_list, p11s_key);
struct p11s_key {
  /* immutable */
  struct p11s_key_home home;
  const struct p11s_algorithm *alg;
  struct p11s_keyref *ref;
  unsigned char identity[P11S_KEY_IDENTITY_LEN];
  bool pinned;

  _Atomic(struct p11s_pubkey *) public_key; /* NULL until known, then never changes */
  struct p11s_lengths lengths;

  /* guarded by the table's lock */
  LIST_ENTRY(p11s_key) in_table;
  bool listed; /* in the table */
  unsigned refs;
  uint64_t idle_since_ms;

  struct p11s_mutex lock; /* guards the rest */
  pthread_cond_t found;   /* a worker has ended looking for the key */
  unsigned finding;       /* workers that look for it, in that epoch */
  uint64_t finding_epoch;
  struct p11s_job *resolving;
  bool have_handle;
  bool proven; /* a signature by this handle has verified */
  uint64_t handle_epoch;
  CK_OBJECT_HANDLE handle;
  struct p11s_sign_plan plan;
  struct p11s_keypair pair; /* made by us: may be undone; else P11S_PAIR_NONE */
};

/* "key 'label' on token 'slot'", for messages. */
void p11s_key_error_prefix(const struct p11s_key *key, struct p11s_error *e);

/* Publishes the public key unless one is known. true: the key owns it now. */
bool p11s_key_publish(struct p11s_key *key, struct p11s_pubkey *public_key);

/* Keeps the public key, which is known and proven, for when the token cannot be asked; one that is
   pinned needs none of this. No wait. */
void p11s_key_remember(struct p11s_key *key);
/* Whether the public key is the one that was kept: proven by an earlier process. */
bool p11s_key_is_kept(struct p11s_key *key);
/* Publishes what was kept. Says so in the log, with why the token could not be asked. false:
   nothing was kept. */
bool p11s_key_recall(struct p11s_key *key, const struct p11s_error *why);

/* What a worker knows of the key for the length of one job. */
struct p11s_grip {
  CK_OBJECT_HANDLE handle;
  struct p11s_sign_plan plan;
  bool proven;
};

/* sign/key_sign.c: a message, and the signature that the token gave. */
struct p11s_signing {
  const unsigned char *message;
  size_t len;
  struct p11s_signature *signature;
  struct p11s_sign_plan plan; /* how it was made */
  bool switched;              /* the token had refused the mechanism that it was asked for first: */
  struct p11s_error refusal;
  unsigned char hash[P11S_DIGEST_MAX]; /* of the message, unless plan.whole_message */
};
/* In a worker: signs with the key's mechanism, or with the other of the two, when the token refuses
   the one although it lists both. Where nothing works, the error names what was refused. A whole
   message that C_Sign refuses for its length goes in parts, if the mechanism hashes; the error of
   P11S_ERR_TOO_LONG has lengths and RRset. */
enum p11s_err p11s_key_sign_on_token(struct p11s_key *key, struct p11s_work *work,
                                     const struct p11s_grip *grip, struct p11s_signing *signing,
                                     struct p11s_error *e);
bool p11s_key_verify_signing(const struct p11s_key *key, const struct p11s_pubkey *public_key,
                             const struct p11s_signing *signing);

/* In a worker: the key's handle, looked for and compared when it is not known in work->epoch. */
enum p11s_err p11s_key_take_grip(struct p11s_key *key, struct p11s_work *work,
                                 struct p11s_grip *ret, struct p11s_error *e);
/* In a worker: how that private key signs. */
enum p11s_err p11s_key_grip(const struct p11s_key *key, struct p11s_work *work,
                            CK_OBJECT_HANDLE handle, struct p11s_grip *ret, struct p11s_error *e);

/* sign/key_match.c: which of several private keys of one label is meant, and which public key is
   its half; found out by a signature of each. */
struct p11s_match {
  bool known;            /* publics has the key's public key alone: the first that signs for it is
                            taken. Else all private keys must be one and the same key */
  struct p11s_grip grip; /* out: the private key */
  size_t at;             /* out: in publics, the public one */
};
/* In a worker. P11S_ERR_KEY_MISMATCH: none signs for the known one; P11S_ERR_AMBIGUOUS says what
   helps; P11S_ERR_NO_KEY: no two belong together. */
enum p11s_err p11s_key_match(struct p11s_key *key, struct p11s_work *work,
                             const struct p11s_handles *found, const struct p11s_publics *publics,
                             struct p11s_match *match, struct p11s_error *e);

/* In a worker: signs signing->message. Finds the key when its handle is not known in work->epoch,
   hashes on the CPU, verifies the signature when asked to or when this handle has not proven
   itself. */
enum p11s_err p11s_key_sign_work(struct p11s_key *key, struct p11s_work *work,
                                 struct p11s_signing *signing, bool verify, struct p11s_error *e);

/* In a worker, read/write session. The pair is the job's, the same in each of its tries. */
enum p11s_err p11s_key_generate_work(struct p11s_key *key, struct p11s_keypair *pair,
                                     struct p11s_work *work, struct p11s_error *e);
enum p11s_err p11s_key_undo_work(struct p11s_key *key, struct p11s_keypair *pair,
                                 struct p11s_work *work, struct p11s_error *e);
