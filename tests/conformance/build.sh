# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh
# The bindings that run conformance programs, in build/conform. Source it after dev.d/lib.sh:
#   conform_build   builds the Python package with its core, the C runner on that same core, the Go runner, the
#                   modules of Lua and Perl, and the runners of C and Go as libraries on the core of the package

. "$SLABBY_ROOT/dev.d/flat.sh"
. "$SLABBY_ROOT/python/env.sh"
CONFORM_BUILD=$SLABBY_BUILD/conform
export CONFORM_BUILD PYTHONDONTWRITEBYTECODE=1 GOWORK=off

# The package is the wheel that the part "python" tests.
conform_site() {
    python_artifacts || return 1
    locked conform conform_site_install
}

conform_site_install() {
    mkdir -p "$CONFORM_BUILD"
    site_stamp=$(cat "$PYTHON_BUILD/dist/.stamp")
    [ "$(cat "$CONFORM_BUILD/.stamp" 2>/dev/null)" != "$site_stamp" ] || return 0
    rm -rf "$CONFORM_BUILD/site"
    quietly "$CONFORM_BUILD/pip.log" "$SLABBY_PYTHON" -m pip install --no-deps \
        --target "$CONFORM_BUILD/site" "$PYTHON_BUILD"/dist/*.whl || return 1
    printf '%s\n' "$site_stamp" >"$CONFORM_BUILD/.stamp"
}

conform_runner() {
    "$SLABBY_PYTHON" "$SLABBY_ROOT/tests/conformance/enums.py" >"$CONFORM_BUILD/enums.h"
    quietly "$CONFORM_BUILD/runner.log" "${CC:-cc}" -std=gnu11 -O2 -g -Wall -Wextra -Werror \
        -I"$SLABBY_ROOT/core/include" -I"$CONFORM_BUILD" -o "$CONFORM_BUILD/runner_c" \
        "$SLABBY_ROOT/tests/conformance/runner.c" "$SLABBY_ROOT/tests/conformance/runner_slabs.c" \
        "$SLABBY_ROOT/tests/conformance/runner_pools.c" "$SLABBY_ROOT/tests/conformance/runner_waits.c" \
        "$CONFORM_BUILD/site/slabby/libslabby.so.0" "-Wl,-rpath,$CONFORM_BUILD/site/slabby"
}

# The Go runner has the core that the Go package brings.
conform_go() {
    rm -f "$CONFORM_BUILD/runner_go" "$CONFORM_BUILD/runner_go.reason"
    if (need_go) >/dev/null 2>&1; then
        need_go
        compile_core_once
        quietly "$CONFORM_BUILD/go.log" go -C "$SLABBY_ROOT/tests/conformance/go" build -buildvcs=false \
            -o "$CONFORM_BUILD/runner_go" .
    else
        say "no Go of 1.24 or later" >"$CONFORM_BUILD/runner_go.reason"
    fi
}

# The languages of the flat binding; one that cannot be built leaves its reason.
conform_flat() {
    for language in $flat_languages; do
        folder=$CONFORM_BUILD/$language
        mkdir -p "$folder"
        rm -f "$folder/slabby.so" "$folder/slabby.reason"
        reason=$(flat_missing "$language")
        if [ -n "$reason" ]; then
            say "$reason" >"$folder/slabby.reason"
        else
            flat_build "$language" "$folder" "$CONFORM_BUILD/site/slabby/libslabby.so.0"
        fi
    done
}

# Mode B: libraries that join the core of the Python package.
conform_shared() {
    rm -f "$CONFORM_BUILD/shared_go.so" "$CONFORM_BUILD/shared_go.reason"
    quietly "$CONFORM_BUILD/shared_c.log" "${CC:-cc}" -std=gnu11 -O2 -g -Wall -Wextra -Werror -fPIC -shared \
        -I"$SLABBY_ROOT/core/include" -I"$CONFORM_BUILD" -o "$CONFORM_BUILD/shared_c.so" \
        "$SLABBY_ROOT"/tests/conformance/runner*.c \
        "$CONFORM_BUILD/site/slabby/libslabby.so.0" "-Wl,-rpath,$CONFORM_BUILD/site/slabby"
    if [ -f "$CONFORM_BUILD/runner_go.reason" ]; then
        cp "$CONFORM_BUILD/runner_go.reason" "$CONFORM_BUILD/shared_go.reason"
        return 0
    fi
    ln -sfn "$SLABBY_ROOT/core/include" "$CONFORM_BUILD/include"
    ln -sfn "$CONFORM_BUILD/site/slabby/libslabby.so.0" "$CONFORM_BUILD/libslabby.so"
    printf '%s\n' 'Name: slabby' 'Description: the core inside the Python package' 'Version: 0.1.0' \
        "Cflags: -I\${pcfiledir}/include" "Libs: -L\${pcfiledir} -lslabby" >"$CONFORM_BUILD/slabby.pc"
    PKG_CONFIG_PATH=$CONFORM_BUILD quietly "$CONFORM_BUILD/shared_go.log" \
        go -C "$SLABBY_ROOT/tests/conformance/go" build -buildvcs=false -tags slabby_system \
        -buildmode=c-shared -o "$CONFORM_BUILD/shared_go.so" .
}

# What the runners and modules are made of beside the package, as one number: sources and tools.
conform_inputs() {
    {
        cat "$PYTHON_BUILD/dist/.stamp"
        find "$SLABBY_ROOT/go" "$SLABBY_ROOT/tests/conformance" "$SLABBY_ROOT/dev.d/flat.sh" -type f \
            ! -path '*/__pycache__/*' -exec cksum {} + | sort
        "${CC:-cc}" --version
        for language in $flat_languages; do flat_missing "$language"; done
        (need_go && go version) 2>&1 || true
    } | cksum | tr ' ' -
}

conform_build() {
    need_c
    venv cffi
    conform_site || return 1
    built_stamp=$(conform_inputs)
    [ "$(cat "$CONFORM_BUILD/.built" 2>/dev/null)" != "$built_stamp" ] || return 0
    rm -f "$CONFORM_BUILD/.built"
    conform_runner && conform_go && conform_flat && conform_shared || return 1
    printf '%s\n' "$built_stamp" >"$CONFORM_BUILD/.built"
}
