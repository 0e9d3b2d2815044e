/* Keyed BLAKE3 of one block, for words of any kind that adds, rotates and XORs: uint32_t for one message,
 * vectors of it for as many messages as they have lanes.
 *
 * A message of at most 64 bytes is one chunk of one block, and that chunk is the root: one call of
 * the compression function with counter 0. Written from "BLAKE3: one function, fast everywhere",
 * sections 2.1 to 2.6: https://github.com/BLAKE3-team/BLAKE3-specs/blob/master/blake3.pdf */
#ifndef SCANNER_BLAKE3_H
#define SCANNER_BLAKE3_H

#include <stdint.h>

enum { BLOCK_BYTES = 64, CHUNK_START = 1, CHUNK_END = 2, ROOT = 8, KEYED_HASH = 16 };

#define ROTATE(word, bits) (((word) >> (bits)) | ((word) << (32 - (bits))))

#define MIX(a, b, c, d, x, y)                                                   \
    do {                                                                        \
        a += b + (x); d = ROTATE(d ^ a, 16); c += d; b = ROTATE(b ^ c, 12);     \
        a += b + (y); d = ROTATE(d ^ a, 8);  c += d; b = ROTATE(b ^ c, 7);      \
    } while (0)

/* The columns, then the diagonals. The message's order is spelled out for each round, so that the
 * compiler sees which words of a short message are zero and leaves their additions out. */
#define ROUND(m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15) \
    do {                                                                            \
        MIX(v0, v4, v8, v12, m[m0], m[m1]);                                         \
        MIX(v1, v5, v9, v13, m[m2], m[m3]);                                         \
        MIX(v2, v6, v10, v14, m[m4], m[m5]);                                        \
        MIX(v3, v7, v11, v15, m[m6], m[m7]);                                        \
        MIX(v0, v5, v10, v15, m[m8], m[m9]);                                        \
        MIX(v1, v6, v11, v12, m[m10], m[m11]);                                      \
        MIX(v2, v7, v8, v13, m[m12], m[m13]);                                       \
        MIX(v3, v4, v9, v14, m[m14], m[m15]);                                       \
    } while (0)

/* The body of a function of `key` (8 words), `m` (16 words), `length` in bytes and `out`: the first 12
 * bytes of the hash as 3 little-endian words, which is all that any formula here takes. */
#define KEYED_HASH_BODY(word)                                                       \
    word v0 = key[0], v1 = key[1], v2 = key[2], v3 = key[3];                        \
    word v4 = key[4], v5 = key[5], v6 = key[6], v7 = key[7];                        \
    word v8 = (word){0} + 0x6A09E667u, v9 = (word){0} + 0xBB67AE85u;                \
    word v10 = (word){0} + 0x3C6EF372u, v11 = (word){0} + 0xA54FF53Au;              \
    word v12 = {0}, v13 = {0}, v14 = (word){0} + length;                            \
    word v15 = (word){0} + (uint32_t)(CHUNK_START | CHUNK_END | ROOT | KEYED_HASH); \
    ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);                    \
    ROUND(2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8);                    \
    ROUND(3, 4, 10, 12, 13, 2, 7, 14, 6, 5, 9, 0, 11, 15, 8, 1);                    \
    ROUND(10, 7, 12, 9, 14, 3, 13, 15, 4, 0, 11, 2, 5, 8, 1, 6);                    \
    ROUND(12, 13, 9, 11, 15, 10, 14, 8, 7, 2, 5, 3, 0, 1, 6, 4);                    \
    ROUND(9, 14, 11, 5, 8, 12, 15, 1, 13, 3, 0, 10, 2, 6, 4, 7);                    \
    ROUND(11, 15, 5, 0, 1, 9, 8, 6, 14, 10, 2, 12, 3, 4, 7, 13);                    \
    out[0] = v0 ^ v8;                                                               \
    out[1] = v1 ^ v9;                                                               \
    out[2] = v2 ^ v10;

/* Left to itself, gcc shares one copy among the callers, and then adds the zeros after all. */
#if defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline))
#elif defined(_MSC_VER)
#define INLINE static __forceinline
#else
#define INLINE static inline
#endif

static inline uint32_t swap(uint32_t word)
{
    return word >> 24 | (word >> 8 & 0xFF00u) | (word << 8 & 0xFF0000u) | word << 24;
}

#endif
