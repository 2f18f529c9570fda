# Everything a developer or CI runs. Each target works alone on a fresh Debian 12 with Rust installed: it says what it
# needs, installs it (through sudo when not root; cargo itself never runs through sudo) and cleans up after itself.
TARGET := $(shell rustc -vV | sed -n 's/^host: //p')
OUT    := target/$(TARGET)/release

# Static; relocations packed, equal functions folded, no padding between segments: 4 % less to load, still a PIE.
RELEASE_FLAGS := -C target-feature=+crt-static -C link-arg=-Wl,--pack-dyn-relocs=relr \
                 -C link-arg=-Wl,--icf=all -C link-arg=-Wl,-z,noseparate-code

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

.PHONY: demo
demo: setup build ## three nodes, live pods, both strategies, every probe counted (two minutes)
	cargo build --locked -p lab --bins
	target/debug/lab-preflight fetch
	tests/raise target/debug/lab-demo $(DEMO_ARGS)

.PHONY: test
test: setup build ## all tests, against the release programs and real parts
	tests/run

.PHONY: bench
bench: setup build ## bare against through-the-shim, as ratios; saved to target/bench/
	cargo build --locked --release -p lab --bins
	target/release/lab-preflight fetch
	tests/raise target/release/lab-bench $(BENCH_ARGS)

# Package by package: building the workspace at once would unify the features of shared crates.
.PHONY: build
build: ## the static release programs in target/dist/
	RUSTFLAGS='$(RELEASE_FLAGS)' cargo build --release --locked --target $(TARGET) -p shim
	RUSTFLAGS='$(RELEASE_FLAGS)' cargo build --release --locked --target $(TARGET) -p bootstrap
	install -d target/dist
	install -m 0755 $(OUT)/crossfade $(OUT)/crossfade-bootstrap target/dist/

.PHONY: lint
lint: setup ## formatting, clippy, dependencies, shell scripts
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	tests/lint

.PHONY: setup
setup:
	tests/setup
