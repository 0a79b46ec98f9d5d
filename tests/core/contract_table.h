/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The contract as the tests expect it: rows written by contract_table.py when the tests are
 * built. */
#ifndef SLABBY_TEST_CONTRACT_TABLE_H
#define SLABBY_TEST_CONTRACT_TABLE_H

#include <stdint.h>

/* default_value is -1 where the core works the default out when the pool is made. */
struct expected_option {
    const char *name;
    int32_t id;
    int64_t default_value;
    int64_t minimum;
    int64_t maximum;
    int hot;
    int power_of_two;
    int is_text;
};

struct expected_status {
    int32_t code;
    const char *name;
    const char *message;
};

#include "contract_rows.h"

#endif
