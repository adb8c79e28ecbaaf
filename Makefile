# The commands of this repository. `make` alone lists them; CARGO_TARGET_DIR is respected by each.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help run test lint fmt docs fuzz

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-6s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## Serve on http://127.0.0.1:8080 with embedded SQLite in ./data
	cargo run --locked -- serve

test: ## Everything CI runs: lints, generated files, tests, the README's tour, fuzzing
	tests/run.sh

lint: ## Formatting and lints, warnings refused
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings

fmt: ## Format the sources
	cargo fmt

docs: ## Regenerate the committed references under docs/
	tests/generated.sh write

fuzz: ## Schemathesis with many cases on both engines (MAX_EXAMPLES=500)
	tests/fuzz.sh sqlite $${MAX_EXAMPLES:-500}
	tests/fuzz.sh postgres $${MAX_EXAMPLES:-500}
