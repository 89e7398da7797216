#!/bin/sh
# Runs the policy's tests of what strangers write (credentials, paths, restrictions, tokens) as wasm32 under Node.js. The
# filter runs as wasm32, too, where words have 32 bits. Run by `make test`.
#
# Arguments go to the runner: a part of a test's name, for instance.
set -eu
cd "$(dirname "$0")/.."
target=$(mkdir -p "${CARGO_TARGET_DIR:-target}" && cd "${CARGO_TARGET_DIR:-target}" && pwd)
export CARGO_TARGET_DIR="$target"
export PATH="$target/npm:$PATH" # Node.js
export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER="$target/wasm-bindgen/bin/wasm-bindgen-test-runner"

wasm() { cargo test -p policy --lib --locked --target wasm32-unknown-unknown -- "$@"; }

# The runner is content with no test at all. And a module that does not import the macro has no test here.
cd filter/policy/src
written=$(grep -rhF '#[test]' credential.rs path.rs token.rs restrictions.rs restrictions | wc -l)
found=$(wasm --list | grep -c ': test$' || true)
if [ "$found" != "$written" ] || [ "$found" = 0 ]; then
    echo "make: $found of $written tests run as wasm32. Each module must use wasm_bindgen_test as test." >&2
    exit 1
fi
wasm "$@"
