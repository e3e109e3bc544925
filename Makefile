# make run     the main job on the packaged model and the generated data, offline
# make test    the tests that take no more than some minutes
#              on WORKERS processes of about a gigabyte each; 2 unless said otherwise
# make test-shapes  those that hand over arrays, with types and shapes checked on every call
# make install only the environment, .venv; the two above do it themselves

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
WORKERS ?= 2

WITH_ARRAYS := dimension ranks hidden_states tasks lab/baselines lab/theory

.PHONY: install run test test-slow test-shapes lint

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@echo "Installing into .venv: about two minutes, and five where torch has to be downloaded."
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --progress-bar off --constraint constraints.txt --editable '.[quickstart,test,lint]'
	touch $@

run: install
	$(BIN)/gelora run --config configs/quickstart.yaml

test: install
	$(BIN)/pytest -n $(WORKERS) -m "not slow"

test-slow: install
	$(BIN)/pytest -m slow

test-shapes: install
	GELORA_CHECK_SHAPES=1 $(BIN)/pytest -n $(WORKERS) -m "not slow" $(addprefix tests/,$(WITH_ARRAYS))

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --project .
