# voxgan — `make` explains itself.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
OUT    ?= demo_out

.DEFAULT_GOAL := help
.PHONY: help install demo test torture check bench clean

help:  ## show this list
	@echo "voxgan: 3-D shapes as voxels, from noise or from a photo"
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 18

install: $(STAMP)  ## make .venv with everything that developing needs

# torch goes in first and pinned, so that no later request draws a CUDA build.
$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (a few minutes the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[viewer,dev]'
	@touch $@

demo: $(STAMP)  ## photo -> mesh and noise -> meshes with the shipped models, into demo_out/
	@$(BIN)/python examples/demo.py --out $(OUT)

test: $(STAMP)  ## run the tests (VOXGAN_TEST_DATA=folder adds those on real data)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

torture: $(STAMP)  ## the long tests of damaged files, kills and full disks (VOXGAN_TEST_DATA as for test)
	@VOXGAN_TORTURE=full $(BIN)/python -m pytest --timeout=900 tests/torture

check: $(STAMP)  ## ruff, mypy --strict on voxgan, import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

bench: $(STAMP)  ## run every benchmark and print its table
	@for b in benchmarks/*.py; do echo "== $$b"; $(BIN)/python $$b || exit 1; done

clean:  ## remove .venv, caches and the demo's output
	rm -rf $(VENV) $(OUT) .pytest_cache .mypy_cache .ruff_cache dist
