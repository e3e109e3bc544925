# make run     the main job on the packaged model and the generated data, offline
# make test    the tests that take no more than some minutes
#              on WORKERS processes of about a gigabyte each; 2 unless said otherwise
# make test-fast    the tests of the core and of the command line's flags: two minutes on two cores
# make coverage     make test, and fail where it covers too little of the package
# make test-shapes  those that hand over arrays, with types and shapes checked on every call
# make docs    the documentation, into docs/_build/html; a warning is an error
# make install only the environment, .venv; the two above do it themselves

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
WORKERS ?= 2

WITH_ARRAYS := dimension ranks hidden_states tasks lab/baselines lab/theory

# Chosen by measured durations: all tests of the mathematics, and what is quick elsewhere.
FAST := dimension ranks test_adapters.py cli/test_parsing.py cli/test_help.py cli/test_values.py \
	test_project.py test_workflows.py test_check_coverage.py

.PHONY: install run test test-fast test-slow test-shapes coverage lint docs

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@echo "Installing into .venv: about two minutes, and five where torch has to be downloaded."
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --progress-bar off --constraint constraints.txt --editable '.[quickstart,test,lint,docs]'
	touch $@

run: install
	$(BIN)/gelora run --config configs/quickstart.yaml
	$(BIN)/gelora cut --output_dir runs/quickstart --tolerance 0.01 --overwrite

test: install
	$(BIN)/pytest -n $(WORKERS) -m "not slow"

test-fast: install
	$(BIN)/pytest -n $(WORKERS) -m "not slow" $(addprefix tests/,$(FAST)) src/gelora/dimension src/gelora/ranks

coverage: install
	$(BIN)/pytest -n $(WORKERS) -m "not slow" --cov --cov-report=json --cov-report=
	$(PYTHON) tools/check_coverage.py coverage.json

test-slow: install
	$(BIN)/pytest -n $(WORKERS) -m slow

test-shapes: install
	GELORA_CHECK_SHAPES=1 $(BIN)/pytest -n $(WORKERS) -m "not slow" $(addprefix tests/,$(WITH_ARRAYS))

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --project .

docs: install
	$(BIN)/sphinx-build -W --keep-going -n -b html docs docs/_build/html
