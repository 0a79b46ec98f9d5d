# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh
# The functions that the commands of ./dev share. Source it: . "$SLABBY_ROOT/dev.d/lib.sh"
#
# Everything is written inside the checkout: build/ (results), .cache/ (downloads), .venv/ (Python). Only Debian
# packages go elsewhere, and only when run by root. With SLABBY_NO_INSTALL=1 nothing is installed: the missing
# packages are printed, and the command ends.

: "${SLABBY_ROOT:?run this through ./dev}"
SLABBY_BUILD=$SLABBY_ROOT/build
SLABBY_CACHE=$SLABBY_ROOT/.cache
SLABBY_JOBS=${SLABBY_JOBS:-$(nproc 2>/dev/null || echo 2)}
export SLABBY_ROOT SLABBY_BUILD SLABBY_CACHE SLABBY_JOBS
export TMPDIR="$SLABBY_CACHE/tmp"
mkdir -p "$SLABBY_BUILD" "$TMPDIR"

if [ -z "${HOME:-}" ]; then
    HOME=$SLABBY_CACHE/home
    mkdir -p "$HOME"
    export HOME
fi
export PIP_CACHE_DIR="$SLABBY_CACHE/pip" PIP_DISABLE_PIP_VERSION_CHECK=1
# pip asks rustc for its version, and rustup's rustc answers by writing its settings.
export RUSTUP_HOME="$SLABBY_CACHE/rustup"
export RUFF_CACHE_DIR="$SLABBY_CACHE/ruff" MYPY_CACHE_DIR="$SLABBY_CACHE/mypy"

# The exit status by which a part says that it was skipped; skip() uses it.
SLABBY_SKIPPED=77

# say TEXT...: prints the present step for the user.
say() {
    printf '%s\n' "$*"
}

# fail TEXT...: ends the command with the reason.
fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# skip REASON...: ends a part or a binding that cannot run here; the summary gives the reason.
skip() {
    say "skipped: $*"
    [ -z "${SLABBY_RESULT:-}" ] || printf '%s\n' "$*" >"$SLABBY_RESULT.reason"
    exit "$SLABBY_SKIPPED"
}

# is_full: whether `./dev test --full` was asked for.
is_full() {
    [ -n "${SLABBY_FULL:-}" ]
}

# is_quick: whether `./dev test --quick` was asked for.
is_quick() {
    [ -n "${SLABBY_QUICK:-}" ]
}

# locked NAME COMMAND...: runs the command in this shell while no other process runs one under that name, where the
# system has flock: two parts of the tests share what they build. One lock at a time.
locked() {
    lock_name=$SLABBY_CACHE/lock-$1
    shift
    if ! command -v flock >/dev/null; then
        "$@"
        return
    fi
    exec 7>"$lock_name"
    flock 7 || fail "$lock_name could not be locked"
    lock_status=0
    "$@" || lock_status=$?
    exec 7>&-
    return "$lock_status"
}

# count PASSED FAILED [SKIPPED]: adds to the numbers of tests in the summary.
count() {
    [ -z "${SLABBY_RESULT:-}" ] || printf '%s %s %s\n' "$1" "$2" "${3:-0}" >>"$SLABBY_RESULT"
}

# count_junit FILE...: adds what JUnit XML files say (pytest --junit-xml, ctest --output-junit).
# count_go_json FILE...: adds what the output of `go test -json` says.
count_junit() {
    count_reports junit "$@"
}
count_go_json() {
    count_reports go "$@"
}
count_reports() {
    find_python
    counts=$("$SLABBY_PYTHON" "$SLABBY_ROOT/dev.d/count_tests.py" "$@") || return 1
    # shellcheck disable=SC2086 # three numbers, to be split
    count $counts
}

# run_tests COUNTER REPORT COMMAND...: runs the command, then counts its report even when it failed.
run_tests() {
    run_counter=$1
    run_report=$2
    shift 2
    rm -f "$run_report"
    run_status=0
    "$@" || run_status=$?
    [ ! -s "$run_report" ] || "$run_counter" "$run_report"
    return "$run_status"
}

# counted LOG NAME COMMAND...: one test of a part. Its output stays in LOG; when it fails, the end is shown, and the
# part's status is 1.
counted() {
    counted_log=$1
    counted_name=$2
    shift 2
    counted_began=$(date +%s)
    if "$@" >"$counted_log" 2>&1; then
        say "ok: $counted_name ($(($(date +%s) - counted_began)) s)"
        count 1 0
    else
        tail -n 40 "$counted_log"
        say "FAILED: $counted_name"
        count 0 1
        # shellcheck disable=SC2034 # the part ends with it
        status=1
    fi
}

# need_packages PACKAGE[:COMMAND | :@MODULE]...: Debian packages. A package counts as installed if its command is on
# PATH, or if pkg-config knows its module, no matter where it came from. Root installs the missing packages; other
# users are told the command to run.
need_packages() {
    missing=
    for wanted in "$@"; do
        has_package "$wanted" || missing="$missing ${wanted%%:*}"
    done
    [ -n "$missing" ] || return 0
    if ! command -v apt-get >/dev/null; then
        fail "needed and not found:$missing (names of Debian's packages); install them and run this again"
    fi
    if [ "$(id -u)" != 0 ]; then
        fail "needed and not installed:$missing; run: sudo apt-get install$missing"
    fi
    refuse_install "Debian packages:$missing"
    say "installing Debian packages by apt-get (SLABBY_NO_INSTALL=1 refuses):$missing"
    apt_log=$SLABBY_CACHE/apt-$$.log
    # shellcheck disable=SC2086 # a list of names, to be split
    if ! { apt_get update && apt_get install --yes --no-install-recommends $missing; }; then
        tail -n 20 "$apt_log" >&2
        fail "could not install:$missing; the whole output is in .cache/apt-$$.log"
    fi
    rm -f "$apt_log"
}

# apt_get ARGUMENT...: apt-get, but it waits for the locks of another apt-get, such as that of a part that runs at
# the same time. By itself apt-get waits only for dpkg's lock. Its output is in $apt_log.
apt_get() {
    apt_tries=0
    # apt runs as a user of its own, who perhaps has no access to the checkout.
    until (
        unset TMPDIR
        export DEBIAN_FRONTEND=noninteractive LC_ALL=C
        exec apt-get -o DPkg::Lock::Timeout=300 "$@"
    ) >"$apt_log" 2>&1; do
        apt_tries=$((apt_tries + 1))
        [ "$apt_tries" -lt 300 ] && grep -q 'Could not get lock' "$apt_log" || return 1
        sleep 1
    done
}

# refuse_install WHAT: ends the command if the user wants no installation.
refuse_install() {
    [ "${SLABBY_NO_INSTALL:-0}" = 0 ] ||
        fail "missing, and not installed because SLABBY_NO_INSTALL is set: $1"
}

has_package() {
    case $1 in
    *:@*) command -v pkg-config >/dev/null && pkg-config --exists "${1#*:@}" && return 0 ;;
    *:*) command -v "${1#*:}" >/dev/null && return 0 ;;
    esac
    command -v dpkg-query >/dev/null &&
        dpkg-query -W -f '${Status}' "${1%%:*}" 2>/dev/null | grep -q 'install ok installed'
}

# need_c: a C and C++ toolchain with CMake and Ninja.
need_c() {
    need_packages gcc:gcc g++:g++ libc6-dev cmake:cmake ninja-build:ninja pkg-config:pkg-config
}

# find_python: sets SLABBY_PYTHON to a Python of 3.11 or later that runs here.
find_python() {
    [ -z "${SLABBY_PYTHON:-}" ] || return 0
    try_pythons && return 0
    need_packages python3
    try_pythons || fail "needed: Python 3.11 or later as python3 on PATH (Debian 12 has it)"
}

try_pythons() {
    for candidate in python3 /usr/bin/python3 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            SLABBY_PYTHON=$candidate
            export SLABBY_PYTHON
            return 0
        fi
    done
    return 1
}

# venv REQUIREMENT...: makes .venv once, installs the missing requirements, and puts it first on PATH.
venv() {
    find_python
    locked venv venv_make "$@"
    PATH=$venv_dir/bin:$PATH
    SLABBY_PYTHON=$venv_dir/bin/python
    export PATH SLABBY_PYTHON
}

venv_make() {
    venv_dir=$SLABBY_ROOT/.venv
    venv_stamps=$venv_dir/.slabby
    # Scripts inside name the environment's own path, so a moved checkout needs a new one.
    if [ -f "$venv_stamps/root" ] && [ "$(cat "$venv_stamps/root")" != "$SLABBY_ROOT" ]; then
        rm -rf "$venv_dir"
    fi
    if ! "$venv_dir/bin/python" -m pip --version >/dev/null 2>&1; then
        "$SLABBY_PYTHON" -c 'import ensurepip, venv' 2>/dev/null || need_packages python3-venv
        refuse_install "the Python environment .venv with: $*"
        say "making the Python environment .venv"
        "$SLABBY_PYTHON" -m venv "$venv_dir" || fail "could not make .venv with $SLABBY_PYTHON"
    fi
    mkdir -p "$venv_stamps"
    printf '%s\n' "$SLABBY_ROOT" >"$venv_stamps/root"
    venv_install "$@"
}

venv_install() {
    stamp=$venv_stamps/$(printf '%s\n' "$@" | cksum | tr ' ' -)
    { [ $# -gt 0 ] && [ ! -f "$stamp" ]; } || return 0
    refuse_install "Python packages in .venv: $*"
    say "installing into .venv by pip (SLABBY_NO_INSTALL=1 refuses): $*"
    if ! "$venv_dir/bin/python" -m pip install --quiet --no-compile "$@"; then
        fail "pip could not install into .venv: $*"
    fi
    : >"$stamp"
}

# need_go: a Go of 1.24 or later on PATH, with all that it writes inside the checkout. Each module is built by itself,
# as its users build it, so go.work is not used.
need_go() {
    # Go keeps its own counters under the configuration directory; the user's settings stay in force.
    GOENV=${GOENV:-${XDG_CONFIG_HOME:-$HOME/.config}/go/env}
    XDG_CONFIG_HOME=$SLABBY_CACHE/config
    GOPATH=$SLABBY_CACHE/go
    GOMODCACHE=$GOPATH/mod
    GOCACHE=$SLABBY_CACHE/go-build
    GOTOOLCHAIN=local
    GOWORK=off
    case " ${GOFLAGS:-} " in *" -modcacherw "*) ;; *) GOFLAGS="${GOFLAGS:+$GOFLAGS }-modcacherw" ;; esac
    export GOENV XDG_CONFIG_HOME GOPATH GOMODCACHE GOCACHE GOFLAGS GOTOOLCHAIN GOWORK
    need_go_found || {
        newer=$(newest_debian_go)
        [ -z "$newer" ] || need_packages "$newer"
        [ -z "$newer" ] || PATH=/usr/lib/${newer%-go}/bin:$PATH
        need_go_found ||
            fail "needed: Go 1.24 or later on PATH (found: $(go version 2>/dev/null || echo none));" \
                "install it from https://go.dev/dl/ and run this again"
    }
    export PATH
}

# compile_core_once: after need_go; from now on Go has the core compiled once for all that it builds (core_once). A
# file of settings for Go, which begins with the user's own settings, sets this. The variable CC would also change
# the compiler of CMake and Python.
compile_core_once() {
    [ -z "${SLABBY_CORE_CC:-}" ] || return 0
    SLABBY_CORE_CC=$(go env CC)
    # The whole path of a program without options: whatever comes first on PATH later.
    SLABBY_CORE_CC=$(command -v "$SLABBY_CORE_CC" || say "$SLABBY_CORE_CC")
    core_once_settings=$SLABBY_CACHE/core-once-$$.env
    {
        [ ! -f "$GOENV" ] || cat "$GOENV"
        printf "CC='%s'\n" "$SLABBY_ROOT/dev.d/core_once"
    } >"$core_once_settings"
    GOENV=$SLABBY_CACHE/core-once.env
    mv "$core_once_settings" "$GOENV"
    export SLABBY_CORE_CC GOENV
}

need_go_found() {
    version=$(go env GOVERSION 2>/dev/null) || return 1
    minor=$(printf '%s\n' "$version" | sed -n 's/^go1\.\([0-9][0-9]*\).*/\1/p')
    [ "${minor:-0}" -ge 24 ]
}

# The newest golang-1.N-go, N >= 24, that this Debian offers.
newest_debian_go() {
    command -v apt-cache >/dev/null || return 0
    apt-cache pkgnames golang-1. 2>/dev/null |
        sed -n 's/^golang-1\.\([0-9][0-9]*\)-go$/\1/p' | sort -n | tail -n 1 |
        while read -r minor; do
            [ "$minor" -lt 24 ] || echo "golang-1.$minor-go"
        done
}

# build_c PRESET [TARGET...]: configures and builds a preset of CMakePresets.json, tests included, in build/PRESET.
build_c() {
    need_c
    need_packages libcmocka-dev:@cmocka
    preset=$1
    shift
    say "building the core ($preset)"
    locked "$preset" build_preset "$@"
}

build_preset() {
    quietly "$SLABBY_BUILD/$preset.log" cmake --preset "$preset" \
        -DSLABBY_TEST_EVERYTHING="$(is_full && echo ON || echo OFF)" &&
        quietly "$SLABBY_BUILD/$preset.log" cmake --build "$SLABBY_BUILD/$preset" -j "$SLABBY_JOBS" \
            ${1:+--target "$@"}
}

# in_usual_rounds COMMAND...: with the rounds of a run without --full. A part that runs the tests of another part on
# one more platform only checks that they pass there; the other part runs the longer rounds.
in_usual_rounds() (
    unset SLABBY_FULL
    "$@"
)

# quietly LOG COMMAND...: keeps the output in LOG and shows its end when the command fails.
quietly() {
    quiet_log=$1
    shift
    "$@" >"$quiet_log" 2>&1 && return 0
    tail -n 40 "$quiet_log" >&2
    say "failed: $*; the whole output is in $quiet_log" >&2
    return 1
}

# run_script FILE ARGUMENTS...: a script of dev.d in a shell of its own.
run_script() {
    script=$1
    shift
    if [ -x "$script" ]; then "$script" "$@"; else sh "$script" "$@"; fi
}
