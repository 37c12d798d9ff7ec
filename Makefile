# `make check` is all of CI: what it accepts can be merged.
# The tests need git, ssh, sshd, curl, zsh and fish (Debian: git openssh-client openssh-server curl zsh fish).

.PHONY: help check fmt lint test docs bench build install

help:
	@echo 'make check    formatting, lints, tests and documentation: all of CI'
	@echo 'make test     the tests alone'
	@echo 'make bench    whole runs beside a loop of git; takes minutes'
	@echo 'make build    the program, as target/release/holocron'
	@echo 'make install  the program, into ~/.cargo/bin'

# What fails fast stands first.
check: fmt lint test docs

fmt:
	cargo fmt --check

# The program alone first: with the tests' crates in the build, features of theirs hide what it lacks itself.
lint:
	cargo check --locked --bin holocron
	cargo clippy --locked --all-targets --bench mirrors -- -D warnings

test:
	cargo test --locked

docs:
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps

bench:
	scripts/bench

build:
	cargo build --locked --release

install:
	cargo install --locked --path .
