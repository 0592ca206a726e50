# Everything a person does with this repository: `make` alone explains.
.DEFAULT_GOAL := help
.PHONY: help demo test check bench scale weekend build

help: ## Show what there is to do
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Run a 52-week backfill end to end, with everything it needs (DEMO_ARGS="--faults storm")
	@.ci/install
	.ci/clean-env cargo run --locked --release --quiet -- demo $(DEMO_ARGS)

test: ## Run every test on a Postgres and a Redis of their own (TEST_ARGS="name")
	@.ci/install redis
	cargo test --locked --no-run
	.ci/with-servers cargo test --locked $(TEST_ARGS)

check: ## Check form, lints, documents, licences and the laws of the house
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items
	@command -v cargo-deny >/dev/null || cargo install --locked cargo-deny
	cargo deny --locked check bans licenses sources
	@if cargo deny fetch db 2>/dev/null; then cargo deny --locked check advisories; \
	else echo "Advisories were not checked: their database cannot be had from here."; fi
	cargo test --locked --test promises tidy::

bench: ## Measure the queue on durable servers (BENCH_ARGS="--json")
	@.ci/install redis
	cargo build --locked --release
	.ci/with-servers --durable sh -c 'DATABASE_URL=$$RECOMAMP_TEST_DATABASE_URL exec cargo run --locked --release --quiet -- bench $(BENCH_ARGS)'

scale: ## Plan, pause, resume and cancel ten years on 500 instances: 260,000 slices, and how long each took
	@.ci/install redis
	cargo test --locked --no-run
	.ci/with-servers cargo test --locked --test promises ten_years -- --ignored --nocapture

weekend: ## Live through a weekend with a dead API in a few minutes: the last line is the verdict
	@.ci/install redis
	cargo test --locked --no-run
	@rm -f target/tmp/weekend.txt
	.ci/with-servers cargo test --locked --test promises a_weekend_with_a_dead_api -- --ignored --nocapture
	@tail -n 1 target/tmp/weekend.txt

build: ## Build the program as it runs in production: target/release/recomamp
	cargo build --locked --release
