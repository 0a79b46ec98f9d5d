# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh
# mutate NAME...: run.py with what its mutations need: Go, or Python with the package. Source it after dev.d/lib.sh and
# python/env.sh.
mutate() {
    find_python
    mutate_needs=$("$SLABBY_PYTHON" "$SLABBY_ROOT/tests/mutate/run.py" --needs "$@") || return 2
    case $mutate_needs in *go*) need_go ;; esac
    case $mutate_needs in
    *python*)
        python_env || return 2
        export SLABBY_MUTATE_PYTHON="$PYTHON"
        ;;
    esac
    "$SLABBY_PYTHON" "$SLABBY_ROOT/tests/mutate/run.py" "$@"
}
