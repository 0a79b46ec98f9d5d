/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "refuse.h"

#include "filter.h"

int refuse_system_call(int number, int error) {
    struct sock_filter code[] = {
        FILTER_LOAD(nr),
        FILTER_JUMP(BPF_JEQ, number, 0, 1),
        FILTER_ANSWER(error),
        FILTER_ALLOW,
    };

    return install_filter(code, sizeof code / sizeof code[0]);
}
