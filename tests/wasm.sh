#!/bin/sh
# Runs the policy's tests of what strangers write (credentials, paths, restrictions, tokens) as wasm32 under Node.js: the
# filter runs as wasm32, where words have 32 bits and budgets are spent otherwise. Run by `make test`.
#
# Arguments go to the runner: a part of a test's name, for instance.
set -eu
cd "$(dirname "$0")/.."
target=$(mkdir -p "${CARGO_TARGET_DIR:-target}" && cd "${CARGO_TARGET_DIR:-target}" && pwd)
sources=filter/policy/src
export PATH="$target/npm:$PATH" # Node.js
export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER="$target/wasm-bindgen/bin/wasm-bindgen-test-runner"

wasm() { cargo test -p policy --lib --locked --target wasm32-unknown-unknown -- "$@"; }

# The runner is content with no test at all. And a module that does not import the macro has no test here.
written=$(grep -rhF '#[test]' "$sources/credential.rs" "$sources/path.rs" "$sources/token.rs" "$sources"/restrictions* | wc -l)
found=$(wasm --list | grep -c ': test$')
if [ "$found" != "$written" ] || [ "$found" = 0 ]; then
    echo "make: of $written tests in $sources, $found run as wasm32: does each module use wasm_bindgen_test as test?" >&2
    exit 1
fi
wasm "$@"
