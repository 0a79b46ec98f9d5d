/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Compiled with -fno-exceptions: calls with a std::error_code work, and one that would throw writes why and aborts. */
#include <slabby/slabby.hpp>

#include <csignal>

int main() {
    slabby::pool pool(64, 1);
    std::error_code code;
    slabby::slab first = pool.allocate(code);
    slabby::slab second = pool.allocate(code);

    if (!first || second || code != SLABBY_OUT_OF_MEMORY)
        return 1;
    std::signal(SIGABRT, [](int) { std::_Exit(0); });
    slabby::pool refused(64, 0);
    return 2;
}
