# Everything a developer or CI runs. Each target works alone on a fresh Debian 12 with Rust installed: it says what it
# needs, installs it (through sudo when not root; cargo itself never runs through sudo) and cleans up after itself.
# Only the demo's and the benchmark's own answers go to stdout, so that --output json can be piped.
TARGET := $(shell rustc -vV | sed -n 's/^host: //p')
OUT    := $(or $(CARGO_TARGET_DIR),target)/$(TARGET)/release

# The plugin is linked with musl where rustc has the library (rustup target add x86_64-unknown-linux-musl): a program of glibc takes longer to start,
# because it asks the processor for its features, and in a virtual machine each of these questions is an exit to the hypervisor.
MUSL          := $(TARGET:gnu=musl)
PLUGIN_TARGET := $(if $(wildcard $(shell rustc --print sysroot)/lib/rustlib/$(MUSL)/lib/libstd-*.rlib),$(MUSL),$(TARGET))
PLUGIN        := $(or $(CARGO_TARGET_DIR),target)/$(PLUGIN_TARGET)/release/crossfade

# Builds the benchmark's programs. A build of all tests has built them, too: `make bench LAB=:`.
LAB := cargo build --locked -p lab --bins

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

# The plugin, the node's program and the lab, with a profile that compiles quickly: the demonstration needs neither small nor fast programs. The
# build of all tests makes them, too: `make demo DEMO=target/debug DEMO_BUILD=:`.
DEMO       := $(or $(CARGO_TARGET_DIR),target)/demo
DEMO_BUILD := cargo build --locked --profile demo -p shim -p bootstrap -p lab --bins

.PHONY: demo
demo: setup ## three nodes, live pods, both strategies, every probe counted (two minutes)
	@$(DEMO_BUILD)
	@$(DEMO)/lab-preflight fetch >&2
	@CROSSFADE_DIST="$$(realpath '$(DEMO)')" tests/raise $(DEMO)/lab-demo $(DEMO_ARGS)

.PHONY: demo-cluster
demo-cluster: setup build ## the same on a real Kubernetes, by kubectl crossfade alone; its programs are built once (five minutes)
	@tests/cluster demo $(DEMO_ARGS)

.PHONY: demo-rotation
demo-rotation: setup packages ## machines that boot Packer's images replace the nodes of a real Kubernetes, there and back, every probe counted (five minutes)
	@tests/rotation $(DEMO_ARGS)

.PHONY: test
test: setup build ## all tests, against the release programs and real parts
	@tests/setup browser >&2
	tests/run

.PHONY: test-runtimes
test-runtimes: setup packages ## the tests of a real containerd once more, with 1.7 and 2.1 of Debian's next suites
	tests/runtimes

.PHONY: test-kubernetes
test-kubernetes: setup build ## the node's side of the API server against a real one, built once (two minutes) and cached
	tests/kubernetes

.PHONY: bench-roll
bench-roll: setup build ## kubectl crossfade roll on 500 hollow nodes and a real API server, in place and as a rotation (forty minutes); BENCH_ARGS='--roll-nodes 50' for less
	@tests/kubernetes bench roll,rotation $(BENCH_ARGS)

.PHONY: bench-live
bench-live: setup build ## kubectl crossfade snapshot and check of 1,000 nodes on a real API server; BENCH_ARGS='--live-nodes 5000' for more
	@tests/kubernetes bench live $(BENCH_ARGS)

.PHONY: bench-policies
bench-policies: setup ## two sets of network policies are compared: 1,000 for 10,000 pods and 5,000 for 100,000; BENCH_ARGS='100 1000' for less
	@cargo bench --locked --quiet -p netpol --bench policies -- $(BENCH_ARGS)

# A rotation by machines is part of it. Where that is run on its own: `make test-cluster ROTATION=:`; some of the cases: `TESTS='--skip a_run_'`.
ROTATION ?= $(MAKE) --no-print-directory demo-rotation

.PHONY: test-cluster
test-cluster: setup build ## Crossfade on a real Kubernetes: kubelet, scheduler, controllers, kube-proxy, and machines that replace nodes (half an hour)
	tests/cluster $(TESTS)
	@$(ROTATION)

.PHONY: test-real
test-real: setup build ## the same with real Flannel and Cilium, where CROSSFADE_CNIS names their programs (docs/proof/real-cnis.md)
	tests/real

.PHONY: image-test
image-test: setup packages ## Packer makes images of a Debian, and machines boot them (docs/proof/image.md)
	tests/image

.PHONY: soak
soak: setup build ## random histories, SOAK_MINUTES (10) against the model, as many through containerd and of a whole cluster, or SOAK_STEPS
	@SOAK_MINUTES='$(SOAK_MINUTES)' SOAK_STEPS='$(SOAK_STEPS)' tests/soak

.PHONY: enumerate
enumerate: setup build ## the shim broken at every system call; POINT='...' plays a single one (docs/proof/system-calls.md)
	@program=$$(tests/programs --test enumeration | cut -d ' ' -f 4-) && \
		CROSSFADE_ENUMERATE=$${CROSSFADE_ENUMERATE:-all} CROSSFADE_POINT='$(POINT)' tests/raise "$$program"

.PHONY: bench
bench: setup build ## bare against through-the-shim, as ratios; MULTUS=FILE measures that binary beside it; saved to target/bench/
	@$(LAB)
	@target/debug/lab-preflight fetch >&2
	@tests/raise target/debug/lab-bench $(if $(MULTUS),--multus "$$(realpath --canonicalize-missing '$(MULTUS)')") $(BENCH_ARGS)

.PHONY: build
build: ## the static release programs in target/dist/
	@cargo fetch --quiet --locked --target $(TARGET) --target $(PLUGIN_TARGET)
	@$(MAKE) --no-print-directory --jobs=$(shell nproc) program-of-operator plugin program-of-node program-of-probe
	@install -d target/dist
# Programs that did not change are not touched: tests may be reading them.
	@install --compare -m 0755 '$(PLUGIN)' '$(OUT)/crossfade-bootstrap' '$(OUT)/crossfade-probe' '$(OUT)/../operator/kubectl-crossfade' target/dist/
	@CNI_COMMAND=VERSION target/dist/crossfade >&2 && echo >&2

# Package by package: building the workspace at once would unify the features of shared crates. The directories of this machine are not in
# the programs (packages/remap), so that they can be built again elsewhere and compared (packages/reproduce).
RELEASE := env --unset=MAKEFLAGS CARGO_ENCODED_RUSTFLAGS="$$(packages/remap -C target-feature=+crt-static)" cargo

.PHONY: plugin
plugin:
	@$(RELEASE) build --release --locked --target $(PLUGIN_TARGET) -p shim

.PHONY: program-of-node
program-of-node:
	@$(RELEASE) build --release --locked --target $(TARGET) -p bootstrap

.PHONY: program-of-probe
program-of-probe:
	@$(RELEASE) build --release --locked --target $(TARGET) -p probe

.PHONY: program-of-operator
program-of-operator:
	@$(RELEASE) build --profile operator --locked --target $(TARGET) -p cluster

.PHONY: build-arm64
build-arm64: ## the same for arm64, with Debian's cross linker, in target/dist-arm64/
	@tests/setup arm64 >&2
	@packages/arm64

.PHONY: packages
packages: build ## deb, rpm, tarball, system extension and the rest in target/packages/ (docs/packages.md)
	@tests/setup packages >&2
	@packages/build

.PHONY: packages-all
packages-all: build build-arm64 ## the same for amd64 and arm64, and one OCI archive for both
	@tests/setup packages >&2
	@packages/build --also target/dist-arm64

.PHONY: test-packages
test-packages: setup build ## the packages on images and on nodes that run, byte for byte the same when built again
	tests/packages

.PHONY: test-arm64
test-arm64: setup build build-arm64 ## the programs for arm64 under QEMU's user-mode emulation, and their packages
	tests/arm64

.PHONY: test-portable
test-portable: setup ## kubectl-crossfade compiles for macOS and Windows; nothing of it runs there (ten minutes)
	tests/portable

.PHONY: test-systemd
test-systemd: setup build ## machines boot with the systemd and containerd of Debian's next suites
	tests/systemd

.PHONY: reproduce
reproduce: build ## the programs built again elsewhere are the same bytes (two minutes)
	@packages/reproduce

.PHONY: reproduce-arm64
reproduce-arm64: build-arm64 ## the same for those of arm64
	@packages/reproduce --arm64

.PHONY: fuzz
fuzz: setup ## the parsers under a fuzzer, FUZZ_SECONDS=60 for each of eleven targets (nightly compiler, cargo-fuzz)
	tests/fuzz $(FUZZ_ARGS)

.PHONY: mutants
mutants: setup ## the shim's decisions changed one by one; a test must notice each (half an hour)
	tests/mutants $(MUTANTS_ARGS)

.PHONY: lint
lint: setup ## formatting, clippy, dependencies, shell scripts
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets --all-features -- -D warnings
	tests/lint

.PHONY: setup
setup:
	@tests/setup >&2
