#!/bin/sh
# Make a virtual environment with wirelane (editable) and its dependencies, or find that it is there already.
#
#     tools/env.sh [run|test|dev|bench|fuzz] [DIRECTORY]
#
# run: what the library and the command line need; test: and the tests; dev (the default): and the checks;
# bench: and the peers that only the benchmarks need; fuzz: and the fuzzer, for which not every machine has a wheel.
# DIRECTORY is .venv unless said. PYTHON names the interpreter to use; without it, the newest that works is taken.
# A stamp in the directory says what was installed from which pyproject.toml; while it holds, nothing is done.
set -eu

cd "$(dirname "$0")/.."
level=${1:-dev}
venv=${2:-.venv}
oldest="3.11"

case $level in
    run) groups="" ;;
    test) groups="--group test" ;;
    dev) groups="--group dev" ;;
    bench | fuzz) groups="--group dev --group $level" ;;
    *) echo "usage: tools/env.sh [run|test|dev|bench|fuzz] [DIRECTORY]" >&2; exit 2 ;;
esac

say() { printf '%s\n' "$*" >&2; }

# The version of an interpreter, if it runs and is new enough; a pyenv shim may exist and not run.
version_of() {
    "$1" -c 'import sys; v = sys.version_info; print("%d.%d.%d" % v[:3]); sys.exit(v < (3, 11))' 2>/dev/null </dev/null
}

# What ensures pip: ensurepip, which Debian and Ubuntu keep in a package of its own, or a pip that can install elsewhere.
can_make_venv() {
    "$1" -c 'import venv, ensurepip' 2>/dev/null </dev/null ||
        "$1" -c 'import venv, pip, sys; sys.exit(int(pip.__version__.split(".")[0]) < 23)' 2>/dev/null </dev/null
}

find_python() {
    tried=""
    without_venv=""
    if [ -n "${PYTHON:-}" ]; then
        set -- "$PYTHON"
    else
        set -- python3.13 python3.12 python3.11 python3 python "${PYENV_ROOT:-${HOME:-}/.pyenv}"/versions/3.1[1-9].*/bin/python
    fi
    for candidate in "$@"; do
        if ! command -v "$candidate" >/dev/null 2>&1; then
            case $candidate in *\*) ;; *) tried="$tried
    $candidate: not found" ;; esac
        elif ! version=$(version_of "$candidate"); then
            tried="$tried
    $candidate: ${version:-does not run}"
        elif ! can_make_venv "$candidate"; then
            tried="$tried
    $candidate: $version, but without venv and ensurepip"
            without_venv=${without_venv:-${version%.*}}
        else
            printf '%s\n' "$candidate"
            return 0
        fi
    done
    if [ -n "$without_venv" ]; then
        say "wirelane: Python $without_venv is here, but it cannot make virtual environments. Tried:$tried"
        say "On Debian and Ubuntu: apt install python3-venv (or python$without_venv-venv). Then again."
    else
        say "wirelane needs Python $oldest or newer. Tried:$tried"
        say "Install one (Debian 12, Ubuntu 24.04 or newer: apt install python3 python3-venv),"
        say "or name one: make PYTHON=/path/to/python$oldest ..."
    fi
    return 1
}

# A directory that was moved, half made, or made by a Python that is gone, is made anew; so is one of another version,
# if PYTHON asks for it.
usable() {
    [ -x "$venv/bin/python" ] && "$venv/bin/python" -c 'import pip' 2>/dev/null </dev/null || return 1
    [ -z "${PYTHON:-}" ] && { version_of "$venv/bin/python" >/dev/null; return; }
    wanted=$(version_of "$PYTHON") || return 1
    [ "$(version_of "$venv/bin/python")" = "$wanted" ]
}

pip_failed() {
    say ""
    say "wirelane: pip could not install what pyproject.toml names; its words are above."
    say "If it could not reach an index: check the network, or set PIP_INDEX_URL, PIP_PROXY or PIP_CERT for yours."
    exit 1
}

pip() { "$venv/bin/python" -m pip --disable-pip-version-check --quiet "$@" </dev/null; }

# The directory is part of the stamp: an environment that was copied along with the tree points at the tree it came from.
stamp_text() {
    "$venv/bin/python" - "$level" <<'PY'
import hashlib, pathlib, sys
print(sys.argv[1], sys.version.split()[0], hashlib.sha256(pathlib.Path("pyproject.toml").read_bytes()).hexdigest(), pathlib.Path.cwd())
PY
}

if usable; then
    wanted_stamp=$(stamp_text)
    [ "$(cat "$venv/.wirelane-$level" 2>/dev/null)" = "$wanted_stamp" ] && exit 0
else
    python=$(find_python) || exit 1
    say "wirelane: making $venv with $python ($(version_of "$python"))"
    rm -rf "$venv"
    if "$python" -c 'import ensurepip' 2>/dev/null </dev/null; then
        "$python" -m venv "$venv" </dev/null || { rm -rf "$venv"; say "wirelane: $python -m venv $venv failed"; exit 1; }
    else
        "$python" -m venv --without-pip "$venv" </dev/null
        "$python" -m pip --disable-pip-version-check --quiet --python "$venv/bin/python" install 'pip>=25.1' </dev/null ||
            { rm -rf "$venv"; pip_failed; }
    fi
    wanted_stamp=$(stamp_text)
fi

say "wirelane: installing into $venv (the first time takes a minute or two)"
rm -f "$venv"/.wirelane-*
# --group (PEP 735) came with pip 25.1.
"$venv/bin/python" -c 'import pip, sys; sys.exit(tuple(map(int, pip.__version__.split(".")[:2])) < (25, 1))' 2>/dev/null ||
    pip install --upgrade 'pip>=25.1' || pip_failed
# shellcheck disable=SC2086  # the groups are words
pip install --editable '.[all]' $groups || pip_failed
printf '%s\n' "$wanted_stamp" >"$venv/.wirelane-$level"
# What is installed for more is enough for less.
case $level in
    bench | fuzz) for less in dev test run; do printf '%s\n' "$less ${wanted_stamp#* }" >"$venv/.wirelane-$less"; done ;;
    dev) for less in test run; do printf '%s\n' "$less ${wanted_stamp#* }" >"$venv/.wirelane-$less"; done ;;
    test) printf '%s\n' "run ${wanted_stamp#* }" >"$venv/.wirelane-run" ;;
esac
