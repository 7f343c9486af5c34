#!/bin/sh
# Run the tests under each of the named Python versions that this machine has: tools/test_all.sh 3.11 3.12 3.13
# Each gets an environment of its own, .venv-3.12; PYTEST_ARGS goes to pytest. Fails if one of them fails.
set -u

cd "$(dirname "$0")/.." || exit 1
found=0
failed=0
summary=""

# An interpreter of that version that runs: on the PATH, or among those of pyenv.
interpreter() {
    for candidate in "python$1" "${PYENV_ROOT:-${HOME:-}/.pyenv}"/versions/"$1"*/bin/python; do
        [ "$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null </dev/null)" = "$1" ] || continue
        printf '%s\n' "$candidate"
        return 0
    done
    return 1
}

for version in "$@"; do
    if ! python=$(interpreter "$version"); then
        summary="$summary
  $version  not found"
        continue
    fi
    found=$((found + 1))
    printf '\n== CPython %s: %s\n' "$version" "$python"
    started=$(date +%s)
    # shellcheck disable=SC2086  # the arguments are words
    if PYTHON=$python tools/env.sh test ".venv-$version" &&
        ".venv-$version/bin/python" -m pytest -p no:cacheprovider ${PYTEST_ARGS:-} </dev/null; then
        result=passed
    else
        result=FAILED
        failed=$((failed + 1))
    fi
    summary="$summary
  $version  $result in $(($(date +%s) - started)) s  ($python)"
done

printf '\ntests by version:%s\n' "$summary"
if [ "$found" -eq 0 ]; then
    echo "no interpreter of these versions was found: $*" >&2
    exit 1
fi
[ "$failed" -eq 0 ]
