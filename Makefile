# Every target sets up what it needs and does no needless work the second time. `make help` lists them.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := $(shell find domain ports adapters composition -name '*.py' -o -name '*.json' -not -path '*/__pycache__/*' 2>/dev/null)
BUNDLE := dist/openrouter_pipe.py
PACKAGES := -p openrouter_pipe.ports -p openrouter_pipe.domain -p openrouter_pipe.adapters -p openrouter_pipe.composition

.DEFAULT_GOAL := help
.PHONY: help setup run test check bench chaos bench-report profile soak fuzz bundle wheel webui test-webui docs format clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "openrouter-pipe needs Python 3.11 or newer; call make with PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Setting up $(VENV) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --editable '.[dev]'
	@touch $@

setup: $(VENV)/.installed ## Make the virtual environment in .venv

$(BUNDLE): $(VENV)/.installed $(SOURCES) pyproject.toml
	@$(BIN)/python -m openrouter_pipe.composition.bundle --output $@

bundle: $(BUNDLE) ## Write dist/openrouter_pipe.py, the one file that Open WebUI takes

run: $(BUNDLE) ## Set up and chat through the bundle (simulated OpenRouter unless OPENROUTER_API_KEY is set)
	@$(BIN)/openrouter-pipe run --bundle $(BUNDLE)

test: $(BUNDLE) ## Run every test that needs no Open WebUI
	@$(BIN)/python -m pytest

check: $(VENV)/.installed ## Lint, format, types, import contracts, documentation
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy $(PACKAGES)
	@cd .typing && PYTHONPATH=. ../$(BIN)/lint-imports --config ../pyproject.toml --no-cache --no-logo
	@$(MAKE) --no-print-directory docs

docs: $(VENV)/.installed ## Check the generated tables and build the documentation as a site into build/site
	@$(BIN)/openrouter-pipe docs --check docs
	@out=$$($(BIN)/mkdocs build --strict --clean 2>&1) || { echo "$$out"; exit 1; }

format: $(VENV)/.installed ## Format the code and regenerate documents
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format --quiet .
	@$(BIN)/openrouter-pipe docs --write docs

bench: $(BUNDLE) ## Measure the hot path against its floor (BENCH="--only burst" for a part)
	@$(BIN)/python tests/benchmarks/bench.py $(BENCH)

bench-report: $(BUNDLE) ## Measure thoroughly and write docs/performance.md
	@$(BIN)/python tests/benchmarks/bench.py --full --report $(BENCH)

PROFILE_SECONDS ?= 5
profile: $(BUNDLE) ## Write a flame graph of the hot path (PROFILE_SECONDS=1 for a coarse one)
	@$(BIN)/python tests/benchmarks/flame.py --seconds $(PROFILE_SECONDS)

FUZZ_SECONDS ?= 600
fuzz: $(VENV)/.installed ## Random input against the readers of URLs, data URLs and blocks (FUZZ_SECONDS=20 each)
	@$(BIN)/python tests/benchmarks/fuzz.py --seconds $(FUZZ_SECONDS)

soak: $(VENV)/.installed ## Mixed traffic and faults for 30 minutes (SOAK_SECONDS=60 for less)
	@$(BIN)/python tests/benchmarks/soak.py

CHAOS_SECONDS ?= 75
chaos: $(VENV)/.installed ## Kill, stop and freeze workers, Redis and PostgreSQL under load (two minutes, CHAOS_SECONDS=16 for less; SEED=n repeats one)
	@$(BIN)/python tests/integration/chaos_redis.py --seconds $(CHAOS_SECONDS) $(if $(SEED),--seed $(SEED))

wheel: $(VENV)/.installed ## Build the wheel into dist/
	@$(BIN)/python -m build --wheel --outdir dist . >/dev/null && ls dist/*.whl

webui: $(BUNDLE) ## Start a real Open WebUI 0.12.4 with the pipe installed and leave it running
	@$(BIN)/python tests/end_to_end/venvs.py 0.12.4
	@$(BIN)/python tests/end_to_end/webui.py

test-webui: $(BUNDLE) wheel ## End-to-end tests in real Open WebUI 0.12.4 and 0.6.28, with a real browser
	@$(BIN)/python tests/end_to_end/venvs.py 0.12.4 0.6.28
	@$(BIN)/python tests/end_to_end/browser.py
	@$(BIN)/python -m pytest tests/end_to_end

clean: ## Remove what was built (not the virtual environments)
	@rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
