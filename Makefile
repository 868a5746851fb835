# `make help` lists every target; CI runs only targets that stand here.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
CONFIG ?=
# A file of tests to each worker, as many as the machine bears, what takes long first (tests/conftest.py).
PYTEST = $(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder

# What the lab's machines, loaders and site network are made of.
LAB_PACKAGES := qemu-system-x86 ovmf ipxe ipxe-qemu dnsmasq-base busybox-static cpio iproute2 nftables kmod \
                grub-common grub-efi-amd64-bin grub-pc-bin
# What LUNs are exported with in the lab, and the disks on them made with.
LUN_PACKAGES := tgt mtools dosfstools e2fsprogs fdisk qemu-utils
# What images are sent with in the lab, and the partitions in them made with.
IMAGING_PACKAGES := udpcast mtools dosfstools e2fsprogs fdisk
# Real clients and disk tools for the tests.
TEST_PACKAGES := tftp-hpa atftp curl mtools dosfstools e2fsprogs fdisk grub-pc-bin procps tgt libiscsi-bin xfsprogs \
                 busybox-static dnsmasq-base iproute2 nftables udpcast wget openssl btrfs-progs
# What images are unpacked with for LUNs.
UNPACK_PACKAGES := qemu-utils partclone fdisk gzip zstd xz-utils bzip2 lz4
# The peer of the boots in make bench.
BENCH_PACKAGES := nginx-light udpcast

# $(call packages,LIST): install those of LIST that are missing, and say so first.
define packages
@missing=""; for package in $(1); do \
	[ "$$(dpkg-query -W -f='$${db:Status-Status}' $$package 2>/dev/null)" = installed ] || missing="$$missing $$package"; \
done; \
if [ -n "$$missing" ]; then \
	echo "Installing Debian packages:$$missing"; \
	$(SUDO) apt-get update -qq; \
	$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
fi
endef

##@ Try it
.PHONY: demo demo-lun demo-imaging serve
demo: lab-packages $(VENV)/.installed ## Boot a BIOS and a UEFI machine in a private virtual lab (KEEP=1: it stays up)
	@$(SUDO) $(BIN)/bootd lab demo $(if $(KEEP),--keep)
demo-lun: lab-packages lun-packages $(VENV)/.installed ## Root nodes boot from LUNs, change to the next image and go back (KEEP=1)
	@$(SUDO) $(BIN)/bootd lab demo-lun $(if $(KEEP),--keep)
demo-imaging: lab-packages imaging-packages $(VENV)/.installed ## Two images into slots of three machines at once (KEEP=1)
	@$(SUDO) $(BIN)/bootd lab demo-imaging $(if $(KEEP),--keep)
serve: serve-packages $(VENV)/.installed ## Answer machines on this host's interfaces (CONFIG=FILE for a configuration)
	@$(SUDO) $(BIN)/bootd $(if $(CONFIG),--config $(CONFIG)) serve

##@ Every day
.PHONY: develop fmt check test
develop: $(VENV)/.developed ## Make the virtual environment with everything for development
fmt: develop ## Rewrite formatting and imports
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
check: develop ## What needs no running code: lint, types, import floors
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy --strict bootd netboot tests
	$(BIN)/lint-imports
test: lab-packages test-packages develop ## The whole suite, real machines booting among it
	$(SUDO) $(PYTEST)

##@ Parts of the suite
.PHONY: test-unit test-net test-vm golden docs fuzz bench
test-unit: lab-packages test-packages develop ## Units, contracts, golden files: no machines (as root, else a few fail and say so)
	$(PYTEST) tests/unit tests/contract tests/fuzz
test-net: test-packages develop ## Real clients against the real listeners
	$(SUDO) $(PYTEST) tests/net
test-vm: lab-packages test-packages develop ## QEMU machines from power-on to a booted system
	$(SUDO) $(PYTEST) tests/vm
golden: develop ## Rewrite the golden files; read the difference before you commit it
	-UPDATE_GOLDEN=1 $(BIN)/pytest -q tests/unit -m golden
	git diff --stat tests/golden
docs: develop ## Redraw the pages that are made from tables
	$(BIN)/python -m tests.docs
fuzz: develop ## Each fuzz target for SECONDS_EACH seconds (default 60)
	$(BIN)/python -m tests.fuzz.run --seconds $(or $(SECONDS_EACH),60)
bench: lab-packages test-packages bench-packages develop ## Figures: boots against dnsmasq + nginx, answers, start, memory
	$(SUDO) $(BIN)/python -m tests.bench.run

##@ Ship
.PHONY: wheel check-wheel ci clean help
wheel: develop ## Build the sdist and, from it, the wheel
	rm -rf dist
	$(BIN)/python -m build
check-wheel: wheel ## Install the wheel in a fresh environment and serve one packet from /
	$(SUDO) $(BIN)/python -m tests.check_wheel dist/*.whl
ci: check test check-wheel ## What CI runs
clean: ## Remove what git ignores
	git clean -fdX
help: ## This list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Behind the scenes
.PHONY: lab-packages lun-packages imaging-packages test-packages bench-packages serve-packages
lab-packages:
	$(call packages,python3-venv $(LAB_PACKAGES))
lun-packages:
	$(call packages,$(LUN_PACKAGES))
imaging-packages:
	$(call packages,$(IMAGING_PACKAGES))
test-packages:
	$(call packages,python3-venv $(TEST_PACKAGES) $(UNPACK_PACKAGES))
bench-packages:
	$(call packages,$(BENCH_PACKAGES))
serve-packages:
	$(call packages,python3-venv ipxe grub-common grub-efi-amd64-bin grub-pc-bin udpcast $(UNPACK_PACKAGES))

$(VENV)/bin/python:
	$(call packages,python3-venv)
	@echo "Making the virtual environment $(VENV)"
	@$(PYTHON) -m venv $(VENV)
$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	@echo "Installing bootd and its Python packages into $(VENV)"
	@$(BIN)/pip install -q --disable-pip-version-check -e .
	@touch $@
$(VENV)/.developed: pyproject.toml | $(VENV)/bin/python
	@echo "Installing bootd and its development packages into $(VENV)"
	@$(BIN)/pip install -q --disable-pip-version-check -e ".[dev]"
	@touch $@ $(VENV)/.installed
