/* Sixteen codes at a time: what native/batches.c does with a form of native/lanes.c. */
#ifndef SCANNER_LANES_H
#define SCANNER_LANES_H

#include "codes.h"

enum { LANES = 16, GS1_STRIDE = 24, FIELD_GS1 = 1, FIELD_PIN = 2 };

/* What is printed of sixteen codes. A GS1 value has 4 bytes after it that mean nothing. */
typedef struct {
    uint8_t text[LANES][CODES_TEXT_CHARS];
    uint8_t gs1[LANES][GS1_STRIDE];
    uint32_t pin[LANES];
} codes_minted;

/* One way of doing both; all forms give the same answers.
 * worth: below so many codes, one at a time is faster than sixteen lanes of which most are idle.
 * verify: `texts`, of exactly CODES_TEXT_CHARS each, in; what codes_verify gives for each out.
 * mint: the codes from `packed` on; of the fields only the text and those that are asked for. */
typedef struct {
    const char *name;
    int (*runs_here)(void);
    size_t worth;
    void (*verify)(const codes_table *table, const uint8_t texts[LANES][CODES_TEXT_CHARS], int64_t *results);
    void (*mint)(const codes_table *table, uint64_t packed, int fields, codes_minted *minted);
} lanes_form;

/* The form in use: the first that runs here, unless codes_use_form chose another. */
const lanes_form *lanes_in_use(void);

#endif
