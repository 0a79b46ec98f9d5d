/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "observe/sha256.h"

#include <string.h>

/* The first 32 bits of the fractional parts: cube roots of the first 64 primes; square roots of the first 8. */
static const uint32_t sha256_round_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
static const uint32_t sha256_first_state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                               0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

static uint32_t sha256_rotate(uint32_t word, unsigned by) {
    return word >> by | word << (32 - by);
}

static uint32_t sha256_load(const uint8_t *bytes) {
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* The message schedule: 16 words of the block, then 48 made from them. */
static void sha256_schedule(uint32_t words[64], const uint8_t *block) {
    for (unsigned i = 0; i < 16; i++)
        words[i] = sha256_load(block + 4 * i);
    for (unsigned i = 16; i < 64; i++) {
        uint32_t near = words[i - 15], far = words[i - 2];
        uint32_t small = sha256_rotate(near, 7) ^ sha256_rotate(near, 18) ^ near >> 3;
        uint32_t large = sha256_rotate(far, 17) ^ sha256_rotate(far, 19) ^ far >> 10;
        words[i] = words[i - 16] + small + words[i - 7] + large;
    }
}

/* v[0] .. v[7] are the standard's a .. h. */
static void sha256_block(uint32_t state[8], const uint8_t *block) {
    uint32_t words[64], v[8];
    sha256_schedule(words, block);
    memcpy(v, state, sizeof v);
    for (unsigned i = 0; i < 64; i++) {
        uint32_t sum1 = sha256_rotate(v[4], 6) ^ sha256_rotate(v[4], 11) ^ sha256_rotate(v[4], 25);
        uint32_t choice = (v[4] & v[5]) ^ (~v[4] & v[6]);
        uint32_t first = v[7] + sum1 + choice + sha256_round_constants[i] + words[i];
        uint32_t sum0 = sha256_rotate(v[0], 2) ^ sha256_rotate(v[0], 13) ^ sha256_rotate(v[0], 22);
        uint32_t majority = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]);
        memmove(v + 1, v, 7 * sizeof v[0]);
        v[4] += first;
        v[0] = first + sum0 + majority;
    }
    for (unsigned i = 0; i < 8; i++)
        state[i] += v[i];
}

SLB_PRIVATE void slb_sha256_begin(struct slb_sha256 *hash) {
    memcpy(hash->state, sha256_first_state, sizeof hash->state);
    hash->length = 0;
}

SLB_PRIVATE void slb_sha256_add(struct slb_sha256 *hash, const void *data, size_t size) {
    const uint8_t *bytes = data;
    while (size > 0) {
        size_t filled = hash->length % SLB_SHA256_BLOCK;
        size_t taken = SLB_SHA256_BLOCK - filled < size ? SLB_SHA256_BLOCK - filled : size;
        memcpy(hash->block + filled, bytes, taken);
        hash->length += taken;
        if (hash->length % SLB_SHA256_BLOCK == 0)
            sha256_block(hash->state, hash->block);
        bytes += taken;
        size -= taken;
    }
}

/* One bit 1, zeros, and the length in bits as the last eight bytes of a block. */
SLB_PRIVATE void slb_sha256_end(struct slb_sha256 *hash, uint8_t digest[SLB_SHA256_BYTES]) {
    static const uint8_t padding[SLB_SHA256_BLOCK] = {0x80};
    uint64_t bits = hash->length * 8;
    uint8_t length[8];
    for (unsigned i = 0; i < 8; i++)
        length[i] = (uint8_t)(bits >> (56 - 8 * i));
    size_t filled = hash->length % SLB_SHA256_BLOCK;
    slb_sha256_add(hash, padding, (filled < 56 ? 56 : 120) - filled);
    slb_sha256_add(hash, length, sizeof length);
    for (unsigned i = 0; i < SLB_SHA256_BYTES; i++)
        digest[i] = (uint8_t)(hash->state[i / 4] >> (24 - 8 * (i % 4)));
}
