# Tokengate. `make run` tries it, `make test` proves it; each does all its own set-up.

.DELETE_ON_ERROR:
.PHONY: help run test lint build setup

help: ## Show this list
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/^([a-z]+):.*## /  make \1\t/'

run: build ## Start Envoy, control plane and demo backend here, until Ctrl-C
	@exec "$${CARGO_TARGET_DIR:-target}/debug/local-stack"

test: build ## Run all tests
	cargo test --workspace --locked

lint: setup ## Check formatting, lints and documentation
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo clippy -p filter --target wasm32-wasip1 --locked -- -D warnings
	cargo clippy -p policy --target wasm32-unknown-unknown --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --locked

build: setup
	cargo build --workspace --locked
	cargo build -p filter --target wasm32-wasip1 --profile wasm --locked

setup:
	@tests/setup.sh
