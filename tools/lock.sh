#!/bin/sh
# Writes requirements.lock (run, tests, build) and requirements-runtime.lock (run and build only) anew from
# pyproject.toml, with hashes and without any address of a package index. Keeps the pins that still fit;
# `tools/lock.sh --upgrade` takes the newest versions instead.
set -eu
cd "$(dirname "$0")/.."
[ -x .venv/bin/python ] || { echo "Run tools/setup.sh first." >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
.venv/bin/python -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check "pip-tools==7.6.2"

compile() {
    "$work/venv/bin/pip-compile" --quiet --generate-hashes --allow-unsafe --strip-extras --no-header \
        --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --annotation-style line "$@" pyproject.toml
}
compile "$@" --extra dev --build-deps-for editable --output-file requirements.lock
compile --build-deps-for wheel --constraint requirements.lock --output-file requirements-runtime.lock

if grep -nE '^ *--(index-url|extra-index-url|find-links|trusted-host)|://' requirements*.lock; then
    echo "The lock names a package index; see the lines above." >&2
    exit 1
fi
