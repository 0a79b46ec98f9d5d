# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh
# The built Python package, for the commands of ./dev. Source it after dev.d/lib.sh:
#   python_env       sets PYTHON to an interpreter of build/python/venv that has the wheel installed
#   python_pip       installs more into it
#   python_artifacts makes the sdist, and the wheel from the sdist, in build/python/dist

PYTHON_BUILD=$SLABBY_BUILD/python
PYTHON_TESTS="pytest hypothesis numpy mypy auditwheel prometheus-client opentelemetry-sdk rich"
PYTHON_TESTS="$PYTHON_TESTS trio anyio trustme pyarrow pyright[nodejs]"

PYTHON_IMPORTS="slabby, _pytest.pytester, hypothesis.stateful, numpy, prometheus_client, opentelemetry.sdk.metrics"
PYTHON_IMPORTS="$PYTHON_IMPORTS, rich.logging, trio.testing, anyio, trustme, pyarrow"

# What the package is made of, as one number.
python_inputs() {
    for input in core python swig setup.py pyproject.toml MANIFEST.in docs CHANGELOG.md LICENSE; do
        find "$SLABBY_ROOT/$input" -type f ! -path '*/__pycache__/*' ! -name '*.so*' ! -path '*.egg-info/*' \
            -exec cksum {} +
    done | sort | cksum | tr ' ' -
}

python_artifacts() {
    need_packages gcc:gcc libc6-dev
    venv build 'setuptools>=77' 'cffi>=1.17' 'swig>=4.4'
    locked python python_build
}

python_build() {
    stamp_now=$(python_inputs)
    [ "$(cat "$PYTHON_BUILD/dist/.stamp" 2>/dev/null)" != "$stamp_now" ] || return 0
    say "building the Python package: sdist, then the wheel from it"
    # The list of files of an earlier build would add to this one's.
    rm -rf "$PYTHON_BUILD/dist" "$SLABBY_ROOT/python/slabby.egg-info"
    mkdir -p "$PYTHON_BUILD"
    quietly "$PYTHON_BUILD/build.log" "$SLABBY_PYTHON" -m build --no-isolation \
        --outdir "$PYTHON_BUILD/dist" "$SLABBY_ROOT" || return 1
    printf '%s\n' "$stamp_now" >"$PYTHON_BUILD/dist/.stamp"
}

# python_pip ARGUMENTS...: pip install into the environment that python_env makes, which has no pip of its own.
python_pip() {
    "$SLABBY_PYTHON" -m pip --python "$PYTHON" install "$@"
}

python_env() {
    python_artifacts || return 1
    PYTHON=$PYTHON_BUILD/venv/bin/python
    export PYTHON
    locked python python_install
}

python_install() {
    env_stamp="$SLABBY_ROOT $PYTHON_TESTS $(cat "$PYTHON_BUILD/dist/.stamp")"
    [ "$(cat "$PYTHON_BUILD/venv/.stamp" 2>/dev/null)" != "$env_stamp" ] || return 0
    refuse_install "the wheel and $PYTHON_TESTS in build/python/venv"
    say "installing the wheel and $PYTHON_TESTS into build/python/venv by pip (SLABBY_NO_INSTALL=1 refuses)"
    rm -rf "$PYTHON_BUILD/venv"
    # The pip of .venv installs, and of what it installs bytecode is made where the tests import it.
    "$SLABBY_PYTHON" -m venv --without-pip "$PYTHON_BUILD/venv" || return 1
    # shellcheck disable=SC2086 # a list of requirements, to be split
    quietly "$PYTHON_BUILD/venv.log" python_pip --no-compile "$PYTHON_BUILD"/dist/*.whl $PYTHON_TESTS || return 1
    quietly "$PYTHON_BUILD/venv.log" env -u PYTHONDONTWRITEBYTECODE "$PYTHON" -c "import $PYTHON_IMPORTS" || return 1
    printf '%s\n' "$env_stamp" >"$PYTHON_BUILD/venv/.stamp"
}
