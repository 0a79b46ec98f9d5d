/* SPDX-License-Identifier: GPL-3.0-or-later */
/* SHA-256 as FIPS 180-4 defines it: the digest that chains the lines of an audit file. Not for keys: the code is not
 * constant-time by design, and wipes nothing. */
#ifndef SLB_OBSERVE_SHA256_H
#define SLB_OBSERVE_SHA256_H

#include "base.h"

#define SLB_SHA256_BYTES 32u
#define SLB_SHA256_BLOCK 64u

struct slb_sha256 {
    uint32_t state[8];
    uint64_t length; /* bytes taken in so far */
    uint8_t block[SLB_SHA256_BLOCK];
};

SLB_PRIVATE void slb_sha256_begin(struct slb_sha256 *hash);
SLB_PRIVATE void slb_sha256_add(struct slb_sha256 *hash, const void *data, size_t size);
SLB_PRIVATE void slb_sha256_end(struct slb_sha256 *hash, uint8_t digest[SLB_SHA256_BYTES]);

#endif
