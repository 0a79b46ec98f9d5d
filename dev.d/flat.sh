# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh
# The languages of the flat binding (swig/slabby_flat.i). Source it after lib.sh: . "$SLABBY_ROOT/dev.d/flat.sh"

flat_languages="lua perl"

# flat_missing LANGUAGE: prints the packages that are missing to build and run it, and nothing if none is missing.
# For root it installs them.
flat_missing() {
    case $1 in
    lua) flat_wanted="swig:swig lua5.4:lua5.4 liblua5.4-dev:@lua5.4" ;;
    perl) flat_wanted="swig:swig perl:perl libperl-dev" ;;
    *) fail "no language \"$1\"; there are: $flat_languages" ;;
    esac
    for flat_package in $flat_wanted; do
        has_package "$flat_package" && continue
        if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
            (need_packages "$flat_package") >&2 && continue
        fi
        say "${flat_package%%:*} is not installed (sudo apt-get install ${flat_package%%:*})"
        return 0
    done
}

# flat_build LANGUAGE FOLDER LIBRARY: the module for the language in FOLDER, over a libslabby.so.0.
flat_build() {
    mkdir -p "$2"
    case $1 in
    lua)
        flat_flags=$(pkg-config --cflags lua5.4)
        set -- -lua "$2" "$3"
        ;;
    perl)
        flat_flags=$(perl -MExtUtils::Embed -e ccopts)
        set -- -perl5 "$2" "$3"
        ;;
    esac
    quietly "$2/build.log" swig "$1" -Werror -DSWIGWORDSIZE64 -I"$SLABBY_ROOT/core/include" \
        -I"$SLABBY_ROOT/swig" -outdir "$2" -o "$2/slabby_wrap.c" "$SLABBY_ROOT/swig/slabby.i" || return 1
    # shellcheck disable=SC2086 # a list of options, to be split
    quietly "$2/build.log" gcc -O2 -g -fPIC -shared -I"$SLABBY_ROOT/core/include" $flat_flags \
        -o "$2/slabby.so" "$2/slabby_wrap.c" "$3" -Wl,-rpath,"$(dirname "$3")"
}

# flat_run LANGUAGE FOLDER PROGRAM ARGUMENTS...: runs a program with the module of flat_build.
flat_run() {
    flat_folder=$2
    case $1 in
    lua) shift 2 && LUA_CPATH="$flat_folder/?.so;;" lua5.4 "$@" ;;
    perl) shift 2 && PERL5LIB="$flat_folder${PERL5LIB:+:$PERL5LIB}" perl "$@" ;;
    esac
}
