# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh
# Builds the library for the description of its interface: without optimisation, so that the
# description does not depend on decisions of the optimiser. Source it after lib.sh.

# abi_build: sets abi_library.
# shellcheck disable=SC2034 # the script that sources this uses it
abi_build() {
    need_c
    abi_tree=$SLABBY_BUILD/abi
    quietly "$abi_tree.log" cmake -G Ninja -S . -B "$abi_tree" -DCMAKE_BUILD_TYPE=Debug \
        -DSLABBY_BUILD_TESTS=OFF "-DCMAKE_C_FLAGS=\"-ffile-prefix-map=$SLABBY_ROOT/=\""
    quietly "$abi_tree.log" cmake --build "$abi_tree" -j "$SLABBY_JOBS"
    abi_library=$abi_tree/libslabby.so.0
}
