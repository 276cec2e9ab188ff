# make demo | test | lint | bench; each makes .venv on first use and installs nothing on the second.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
PEERS := .venv-bench
COMPILED := $(wildcard mixio/csrc/*)
OUT ?= $(if $(SOURCES),demo-sources,demo)
JOBS ?= 2

.PHONY: demo test lint bench

demo: $(INSTALLED)
	$(BIN)/python -m tools.demo $(OUT) --jobs $(JOBS) $(if $(SOURCES),--sources $(SOURCES))

test: $(INSTALLED)
	$(BIN)/python -m pytest -n $(JOBS)

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy mixio

bench: $(PEERS)/installed
	mkdir -p bench
	$(PEERS)/bin/python -m benchmarks.bench_read --folder bench/corpus --json bench/read.json --chart bench/read.png
	$(PEERS)/bin/python -m benchmarks.bench_loader --folder bench/corpus --json bench/loader.json --chart bench/loader.png
	$(PEERS)/bin/python -m benchmarks.bench_mixture --folder bench/mixers --json bench/mixture.json --chart bench/mixture.png

# torch goes first and pinned, so that no other package chooses its release.
$(INSTALLED): setup.cfg setup.py pyproject.toml constraints.txt $(COMPILED)
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[train,laws,webdataset,dicom,itk,cloud,dask,adopt,dev]'
	touch $(INSTALLED)

# The peers have an environment of their own: their pins fight with those of the tests. datasets wants an fsspec older
# than the pinned one, which its streams in memory do not touch; its other dependencies are in the extra.
$(PEERS)/installed: setup.cfg setup.py pyproject.toml constraints-bench.txt $(COMPILED)
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-bench.txt torch
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-bench.txt -e '.[bench]'
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps datasets==4.8.5
	touch $(PEERS)/installed
