# Everything a developer or CI runs. Each target works alone on a fresh Debian 12 with Rust installed.
TARGET := $(shell rustc -vV | sed -n 's/^host: //p')
OUT    := target/$(TARGET)/release

.PHONY: build
build: ## the static release binaries in target/dist/
	RUSTFLAGS='-C target-feature=+crt-static' cargo build --release --locked --target $(TARGET) -p shim
	RUSTFLAGS='-C target-feature=+crt-static' cargo build --release --locked --target $(TARGET) -p bootstrap
	install -d target/dist
	install -m 0755 $(OUT)/crossfade $(OUT)/crossfade-bootstrap target/dist/
