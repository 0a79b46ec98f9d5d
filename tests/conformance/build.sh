# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh
# The faces that run conformance programs, in build/conform. Source it after dev.d/lib.sh:
#   conform_build   builds the Python package with its core, the C runner on that same core, and the Go runner

CONFORM_BUILD=$SLABBY_BUILD/conform
export CONFORM_BUILD PYTHONDONTWRITEBYTECODE=1 GOWORK=off

# What the package is made of, as one number.
conform_inputs() {
    find "$SLABBY_ROOT/core" "$SLABBY_ROOT/python" "$SLABBY_ROOT/swig" "$SLABBY_ROOT/setup.py" \
        -type f ! -path '*/__pycache__/*' ! -name '*.so*' ! -path '*.egg-info/*' -exec cksum {} + |
        sort | cksum | tr ' ' -
}

conform_site() {
    site_stamp=$(conform_inputs)
    [ "$(cat "$CONFORM_BUILD/.stamp" 2>/dev/null)" != "$site_stamp" ] || return 0
    say "building the Python package"
    rm -rf "$CONFORM_BUILD/site"
    quietly "$CONFORM_BUILD/pip.log" \
        "$SLABBY_PYTHON" -m pip install --no-deps --target "$CONFORM_BUILD/site" "$SLABBY_ROOT"
    printf '%s\n' "$site_stamp" >"$CONFORM_BUILD/.stamp"
}

conform_runner() {
    "$SLABBY_PYTHON" "$SLABBY_ROOT/tests/conformance/words.py" >"$CONFORM_BUILD/words.h"
    quietly "$CONFORM_BUILD/runner.log" "${CC:-cc}" -std=gnu11 -O2 -g -Wall -Wextra -Werror \
        -I"$SLABBY_ROOT/core/include" -I"$CONFORM_BUILD" -o "$CONFORM_BUILD/runner_c" \
        "$SLABBY_ROOT/tests/conformance/runner.c" "$SLABBY_ROOT/tests/conformance/runner_slabs.c" \
        "$SLABBY_ROOT/tests/conformance/runner_pools.c" \
        "$CONFORM_BUILD/site/slabby/libslabby.so.0" "-Wl,-rpath,$CONFORM_BUILD/site/slabby"
}

# The Go runner has the core that the Go package brings.
conform_go() {
    rm -f "$CONFORM_BUILD/runner_go" "$CONFORM_BUILD/runner_go.reason"
    if (need_go) >/dev/null 2>&1; then
        need_go
        quietly "$CONFORM_BUILD/go.log" go -C "$SLABBY_ROOT/tests/conformance/go" build -buildvcs=false \
            -o "$CONFORM_BUILD/runner_go" .
    else
        say "no Go of 1.24 or later" >"$CONFORM_BUILD/runner_go.reason"
    fi
}

conform_build() {
    need_c
    venv cffi
    mkdir -p "$CONFORM_BUILD"
    conform_site
    conform_runner
    conform_go
}
