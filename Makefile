# The commands of this repository. `make` alone lists them; CARGO_TARGET_DIR is respected by each.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help run test lint fmt docs checklist fuzz mutate-rules load observe previews copy-bench files-bench recovery upgrade-drill upload-memory bench bench-peers bench-growth bench-parts flames instructions drill drills
KIT := .venv/bin/python -m kit

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## Serve on http://127.0.0.1:8080 with embedded SQLite in ./data
	cargo run --locked -- serve

test: ## Everything CI runs: lints, generated files, tests, the README's tour, fuzzing
	tests/run.sh

lint: ## Formatting and lints, warnings refused
	cargo fmt --check
	cargo clippy --locked --all-targets --all-features -- -D warnings

fmt: ## Format the sources
	cargo fmt

docs: ## Regenerate what is committed: references, rules, dashboards, thresholds
	tests/install.sh
	tests/generated.sh write
	$(KIT) generate

checklist: ## docs/deployment-checklist.md from top to bottom, against a service started here as in production
	tests/install.sh
	cargo build --locked
	CONVOKE_BIN=$${CARGO_TARGET_DIR:-target}/debug/convoke $(KIT) checklist

fuzz: ## Schemathesis with many cases on both engines (MAX_EXAMPLES=500)
	tests/fuzz.sh sqlite $${MAX_EXAMPLES:-500}
	tests/fuzz.sh postgres $${MAX_EXAMPLES:-500}

mutate-rules: ## Change each alert rule in turn; a rule test must notice each change
	tests/install.sh
	$(KIT) mutate_rules

load: ## Every load test against a service started here (PROFILES="smoke load")
	tests/install.sh
	cargo build --locked --release
	CONVOKE_BIN=$${CARGO_TARGET_DIR:-target}/release/convoke $(KIT) load $(PROFILES)

observe: ## Convoke, Prometheus with the rules, Alertmanager and a load on this machine, until Ctrl-C
	tests/install.sh
	cargo build --locked
	CONVOKE_BIN=$${CARGO_TARGET_DIR:-target}/debug/convoke $(KIT) observe

# The build with faults first: what is left under its own name is the one that is shipped.
DRILLS_BUILD = tests/install.sh drills && T=$${CARGO_TARGET_DIR:-target} \
	&& cargo build --locked --release --bin convoke --features drills && cp $$T/release/convoke $$T/convoke-drills \
	&& cargo build --locked --release --bin convoke
DRILLS_RUN = T=$${CARGO_TARGET_DIR:-target}; CONVOKE_BIN=$$T/release/convoke CONVOKE_DRILLS_BIN=$$T/convoke-drills $(KIT) drills

drills: ## Every fault into a running stack: which alerts fire, when, and whether they clear; writes docs/drills.md
	$(DRILLS_BUILD)
	$(DRILLS_RUN) --write $(DRILLS)

drill: ## One of them (NAME=postgres-killed; without a name, which there are)
	$(if $(NAME),$(DRILLS_BUILD))
	$(if $(NAME),$(DRILLS_RUN) $(NAME) $(DRILLS),$(KIT) drills --list)

upgrade-drill: ## Roll two replicas from the previous release to this one under load (FROM=ref)
	tests/install.sh
	$(KIT) upgrade_drill $(if $(FROM),--from $(FROM))

previews: ## Draw each dashboard and the console after a real load, into docs/previews/
	tests/install.sh
	cargo build --locked
	tests/console.sh previews
	$(KIT) previews

upload-memory: ## Send and read back 1 GiB, to a folder and to S3, and show the most memory it took
	tests/install.sh
	cargo build --locked --release
	tests/upload_memory.sh

copy-bench: ## Copy 100,000 events from engine to engine and back, with a kill half-way, and compare
	tests/install.sh
	cargo build --locked --release
	CONVOKE_BIN=$${CARGO_TARGET_DIR:-target}/release/convoke $(KIT) copy_bench --kill $(COPY_BENCH)

files-bench: ## Move 10,000 files to a real S3 server while they are read, with a kill half-way
	tests/install.sh
	cargo build --locked --release
	CONVOKE_BIN=$${CARGO_TARGET_DIR:-target}/release/convoke $(KIT) files_bench $(FILES_BENCH)

recovery: ## Lose a database of 100,000 events on each engine, restore it from its backup, and time that
	tests/install.sh
	cargo build --locked --release
	CONVOKE_BIN=$${CARGO_TARGET_DIR:-target}/release/convoke $(KIT) recovery $(RECOVERY)

instructions: ## Count the processor instructions of a request; beyond 2 % of what is committed fails (INSTRUCTIONS="--write")
	tests/install.sh
	cargo build --locked --example instructions
	$(KIT) instructions $(INSTRUCTIONS)

bench-parts: ## Time the parts of a request that ask nobody, with criterion (BENCH="--write")
	tests/install.sh
	$(KIT) bench_parts $(BENCH)

BENCH_BUILD = tests/install.sh bench && cargo build --locked --release --bin convoke --example bare
BENCH_RUN = CONVOKE_BIN=$${CARGO_TARGET_DIR:-target}/release/convoke $(KIT) bench

bench: ## Rate, latency, CPU and memory of each operation on each engine beside its limits (BENCH="--write")
	$(BENCH_BUILD)
	$(BENCH_RUN) --part limits --part many --part modes $(BENCH)

bench-peers: ## The same load on PocketBase and on Convoke with SQLite, in turns (BENCH="--write")
	$(BENCH_BUILD)
	$(BENCH_RUN) --only --part peers $(BENCH)

bench-growth: ## 10,000 to 1,000,000 events, 1 to 256 connections, large events and inboxes, idle connections (BENCH="--write")
	$(BENCH_BUILD)
	$(BENCH_RUN) --only --part growth $(BENCH)

flames: ## Where the processor's time of the hottest requests goes, as flame graphs (FLAMES="--name before")
	$(BENCH_BUILD)
	CONVOKE_BIN=$${CARGO_TARGET_DIR:-target}/release/convoke $(KIT) flames $(FLAMES)
