# Tokengate. `make run` tries it, `make test` proves it; each does all its own set-up.

.DELETE_ON_ERROR:
.PHONY: help run test bench lint build setup

export CARGO_TARGET_DIR := $(abspath $(or $(CARGO_TARGET_DIR),target))
unexport CARGO_BUILD_TARGET

# ENVOY names another Envoy: a path, or a program on the PATH.
ifneq ($(ENVOY),)
override ENVOY := $(abspath $(or $(shell command -v '$(ENVOY)'),$(error ENVOY names no program: $(ENVOY))))
export ENVOY
endif

help: ## Show this list
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/^([a-z]+):.*## /  make \1\t/'

run: build ## Start Envoy, control plane and demo backend here, until Ctrl-C
	@exec "$(CARGO_TARGET_DIR)/debug/local-stack"

test: build ## Run all tests
	@tests/setup.sh tests
	cargo build -p filter --target wasm32-wasip1 --profile wasm-faults --features faults --locked
	@tests/wasm.sh
	cargo test --workspace --locked

# BENCH holds arguments, such as BENCH="revocation --rounds 20" or BENCH=--help.
bench: setup ## Measure revocation, the cost of a request, fairness, and the control plane, in release builds
	cargo build --release --locked -p tokengate
	cargo build --release --locked -p tests
	cargo build -p filter --target wasm32-wasip1 --profile wasm --locked
	@exec "$(CARGO_TARGET_DIR)/release/bench" $(BENCH)

lint: setup ## Check formatting, lints and documentation
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo clippy -p filter --target wasm32-wasip1 --features faults --locked -- -D warnings
	cargo clippy -p policy --target wasm32-unknown-unknown --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --locked --quiet

build: setup ## Build everything that runs
	cargo build --workspace --locked
	cargo build -p filter --target wasm32-wasip1 --profile wasm --locked
	cargo build -p probe --target wasm32-unknown-unknown --profile wasm --locked

setup:
	@tests/setup.sh
