/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "program.h"

#include <string.h>

static void without(struct program *out, const struct program *program, uint32_t start, uint32_t count) {
    *out = *program;
    memmove(out->ops + start, out->ops + start + count, (program->count - start - count) * sizeof *out->ops);
    out->count -= count;
}

/* Ever smaller pieces are taken out; a piece whose absence keeps the failure stays out. */
void program_shrink(struct program *program) {
    static struct program shorter;

    for (uint32_t piece = program->count / 2; piece > 0; piece /= 2) {
        uint32_t start = 0;

        while (start + piece <= program->count) {
            without(&shorter, program, start, piece);
            if (program_fails(&shorter, 0))
                *program = shorter;
            else
                start += piece;
        }
    }
}
