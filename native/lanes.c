#include "lanes.h"

#include <stddef.h>
#include <string.h>

#include "blake3.h"

/* Where vectors are compiled: gcc and clang have them as a type on every machine. */
#if defined(__GNUC__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define VECTORS
#endif

#ifdef VECTORS

enum { WORDS = 3 * LANES };

static const uint64_t FORTY_BITS = ((uint64_t)1 << 40) - 1;
static const uint64_t FORTY_EIGHT_BITS = ((uint64_t)1 << 48) - 1;

/* One of a slot's five keys; `purpose` is its place there, in bytes. */
INLINE const uint32_t *key_words(const codes_table *table, uint32_t kid, size_t purpose)
{
    return (const uint32_t *)((const uint8_t *)&table->slots[kid] + purpose);
}

/* 8 digits of a byte each, the first in the lowest, to a number of 8 * bits bits: by pairs, fours, eights. */
INLINE uint64_t joined(uint64_t digits, int bits)
{
    digits = (digits & 0x00FF00FF00FF00FFu) << bits | (digits >> 8 & 0x00FF00FF00FF00FFu);
    digits = (digits & 0x0000FFFF0000FFFFu) << 2 * bits | (digits >> 16 & 0x0000FFFF0000FFFFu);
    return (digits & 0xFFFFFFFFu) << 4 * bits | digits >> 32;
}

/* And back. */
INLINE uint64_t parted(uint64_t number, int bits)
{
    const uint64_t four = ((uint64_t)1 << 4 * bits) - 1;
    const uint64_t two = (((uint64_t)1 << 2 * bits) - 1) * 0x0000000100000001u;
    const uint64_t one = (((uint64_t)1 << bits) - 1) * 0x0001000100010001u;
    number = (number & four) << 32 | number >> 4 * bits;
    number = (number & two) << 16 | (number >> 2 * bits & two);
    return (number & one) << 8 | (number >> bits & one);
}

/* gcc's own choice among clones of a function (target_clones) needs ifunc, which musl has not, and gives no
 * test a way to run the form of a lesser machine. */
#if defined(__x86_64__)
#define TARGET __attribute__((target("avx512f")))
#define WIDTH 16
#define NAME(it) it##_avx512
#include "lanes_form.h"

#define TARGET __attribute__((target("avx2")))
#define WIDTH 8
#define NAME(it) it##_avx2
#include "lanes_form.h"

static int has_avx512(void)
{
    __builtin_cpu_init();  /* gcc's library has done so by now, clang's has not */
    return __builtin_cpu_supports("avx512f");
}

static int has_avx2(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2");
}
#endif

/* What every machine of the architecture has: 128 bits. */
#define TARGET
#define WIDTH 4
#define NAME(it) it##_plain
#include "lanes_form.h"

#endif

/* ---- The scalar form ---------------------------------------------------------------------------- */

static void verify_scalar(
    const codes_table *table, const uint8_t texts[LANES][CODES_TEXT_CHARS], int64_t *results)
{
    for (int lane = 0; lane < LANES; lane++)
        results[lane] = codes_verify(table, texts[lane], CODES_TEXT_CHARS);
}

static void mint_scalar(const codes_table *table, uint64_t packed, int fields, codes_minted *minted)
{
    uint32_t kid = (uint32_t)(packed >> CODES_BODY_BITS);
    for (int lane = 0; lane < LANES; lane++) {
        uint8_t raw[CODES_RAW_BYTES];
        codes_seal(table, (packed + (uint64_t)lane) & CODES_PACKED_MAX, raw);
        codes_write_text(raw, minted->text[lane]);
        if (fields & FIELD_GS1)
            codes_write_gs1(raw, minted->gs1[lane]);
        if (fields & FIELD_PIN)
            minted->pin[lane] = codes_pin(table, kid, raw);
    }
}

static int always(void)
{
    return 1;
}

/* ---- Which one runs ----------------------------------------------------------------------------- */

/* The fastest first. */
static const lanes_form FORMS[] = {
#ifdef VECTORS
#if defined(__x86_64__)
    {"avx512", has_avx512, 3, verify_avx512, mint_avx512},
    {"avx2", has_avx2, 5, verify_avx2, mint_avx2},
#endif
    {"vectors", always, 8, verify_plain, mint_plain},
#endif
    {"scalar", always, LANES, verify_scalar, mint_scalar},
};

enum { FORM_COUNT = sizeof FORMS / sizeof FORMS[0] };

static const lanes_form *chosen;

const lanes_form *lanes_in_use(void)
{
    return chosen;
}

const char *codes_form_name(size_t rank)
{
    for (size_t i = 0; i < FORM_COUNT; i++)
        if (FORMS[i].runs_here() && rank-- == 0)
            return FORMS[i].name;
    return NULL;
}

int codes_use_form(const char *name)
{
    for (size_t i = 0; i < FORM_COUNT; i++)
        if (strcmp(FORMS[i].name, name) == 0 && FORMS[i].runs_here()) {
            chosen = &FORMS[i];
            return 1;
        }
    return 0;
}
