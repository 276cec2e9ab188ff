# make demo | test | lint | bench; each makes .venv on first use and installs nothing on the second.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
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

bench: $(INSTALLED)
	$(BIN)/python -m benchmarks.bench_read
	$(BIN)/python -m benchmarks.bench_mixture

# torch goes first and pinned, so that no other package chooses its release.
$(INSTALLED): setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[train,webdataset,dicom,itk,cloud,dask,dev]'
	touch $(INSTALLED)
