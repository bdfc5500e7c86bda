# `make run`, `make test` and `make check` work from a fresh clone, with make and a Python of
# 3.11 to 3.13 and nothing else. Dependencies are installed into .venv from the lock.

VENV := .venv
BIN := $(VENV)/bin
# Touched after a complete installation.
STAMP := $(VENV)/.installed
# Present while an installation runs: the rest of an interrupted one is removed.
UNFINISHED := $(VENV)/.installing
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input
SUITABLE := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))

# `make run PYTHON=/path/to/python` chooses another one.
PYTHON ?=

.DEFAULT_GOAL := help
.PHONY: help run dev watch coverage-unit report test test-faults test-servers check bench profile chaos storm load fuzz docs site release-openapi image sbom clients check-clients check-deploy install clean

# The long runs of the fault matrix and of events under faults.
SAGAS ?= 10000
EVENTS ?= 5000
FAULTS ?= $(if $(filter load,$(MAKECMDGOALS)),12,$(if $(filter storm,$(MAKECMDGOALS)),100,500))
SEED ?= 1

# The long run of a hundred buyers of ten units, under faults.
SECONDS ?= 60

# The long run of the contract tests.
CASES ?= 50000

help:
	@echo "Use it:"
	@echo "  make run              start everything: servers, inventory, worker, API, …"
	@echo "  make site             build these documents as a site, and check its links"
	@echo "  make image            build the image (IMAGE=cart-service:dev TARGET=dev)"
	@echo "  make clients          build the clients of clients/ (Node for TypeScript)"
	@echo "Work on it:"
	@echo "  make dev              as make run; processes start again when code changes"
	@echo "  make watch            unit tests, again after each change (ARGS=FILE)"
	@echo "  make docs             update the generated documents and dashboards"
	@echo "  make clean            remove .venv and caches; the data in .local stays"
	@echo "Check it (times on two cores):"
	@echo "  make check            format, lint, types, import rules"
	@echo "  make test             the tests: 12 minutes (ARGS=… goes to pytest)"
	@echo "  make test-faults      faults, load, fuzz, Kafka, deployment: 13 minutes"
	@echo "  make test-servers     on Temporal with PostgreSQL, and on Apache Kafka"
	@echo "  make check-clients    generated clients, compiled and used (ARGS=… for pytest)"
	@echo "  make check-deploy     build the image, start docker-compose.yml, run the demo"
	@echo "  make coverage-unit    what the tests without servers cover: at least 80 %"
	@echo "Measure it:"
	@echo "  make bench            what durability costs, as ratios (ARGS=… for cart bench)"
	@echo "  make profile          CPU time of an add, with flame graphs (Linux)"
	@echo "  make chaos            faults among sagas (SAGAS=10000 FAULTS=500 SEED=1)"
	@echo "  make storm            events under faults (EVENTS=5000 FAULTS=100 SEED=1)"
	@echo "  make load             a hundred buyers under faults (SECONDS=60 FAULTS=12)"
	@echo "  make fuzz             requests of all kinds, with a table (CASES=50000)"
	@echo "  make report           all long runs as one page: hours (ARGS='--scale 0.01')"
	@echo "Release it:"
	@echo "  make sbom             sbom.json, the contents of a production install"
	@echo "  make release-openapi  make docs/openapi.json the released promise"

run: $(STAMP)
	@exec $(BIN)/cart run $(ARGS)

dev: $(STAMP)
	@exec $(BIN)/cart run --reload $(ARGS)

watch: $(STAMP)
	@exec $(BIN)/watchfiles --filter python "$(BIN)/pytest -q -x --no-header $(or $(ARGS),tests/unit)" .

# With ARGS pytest runs only what they name, in one process and without coverage.
test: $(STAMP)
ifdef ARGS
	@$(BIN)/pytest $(ARGS)
else
	@$(BIN)/coverage erase
	@$(BIN)/python -m tests.lanes test
endif

test-faults: $(STAMP)
	@$(BIN)/python -m tests.lanes test-faults

# Needs PostgreSQL, Java 17 and, the first time, Go and Maven. In sequence, because each starts servers.
test-servers: $(STAMP)
	@$(BIN)/python -m dev.stack.production.builds
	@$(BIN)/pytest --production tests/integration tests/kafka $(ARGS); failed=$$?; \
		$(BIN)/pytest --production tests/faults $(ARGS) || failed=1; exit $$failed

chaos: $(STAMP)
	@$(BIN)/python -m tests.faults.chaos --sagas $(SAGAS) --faults $(FAULTS) --seed $(SEED) \
		--report chaos.md $(ARGS)

storm: $(STAMP)
	@$(BIN)/python -m tests.faults.storm --events $(EVENTS) --faults $(FAULTS) --seed $(SEED) $(ARGS)

load: $(STAMP)
	@$(BIN)/python -m tests.faults.load --seconds $(SECONDS) --faults $(FAULTS) --seed $(SEED) $(ARGS)

fuzz: $(STAMP)
	@$(BIN)/python -m tests.contract.fuzz --cases $(CASES) --seed $(SEED) $(ARGS)

# The tests that need no servers, and the service's own code: at least 80 %, as `make test` wants of all tests.
coverage-unit: $(STAMP)
	@COVERAGE_FILE=.coverage.unit $(BIN)/coverage erase
	@COVERAGE_FILE=.coverage.unit $(BIN)/coverage run -m pytest -q tests/unit tests/http tests/replay
	@COVERAGE_FILE=.coverage.unit $(BIN)/coverage combine --quiet
	@COVERAGE_FILE=.coverage.unit $(BIN)/coverage report --omit 'dev/*' --fail-under 80

report: $(STAMP)
	@$(BIN)/python -m dev.report --seed $(SEED) $(ARGS)

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy .
	$(BIN)/lint-imports

docs: $(STAMP)
	@$(BIN)/python -m api.document > docs/openapi.json
	@$(BIN)/python -m dev.event_docs $(ARGS)
	@$(BIN)/python -m dev.reference
	@$(BIN)/python -m dev.grafana
	@$(BIN)/python -m tests.contract.guide

# Reads nothing from other hosts. Fails on a dead link.
site: $(STAMP)
	@NO_MKDOCS_2_WARNING=1 PYTHONPATH=. $(BIN)/mkdocs build --quiet --strict
	@$(BIN)/python -m dev.site.check site
	@echo "to read it with its search: $(BIN)/python -m http.server --directory site 8000"

# A release promises what its document says; `make test` compares with it from then on.
release-openapi: docs
	@cp docs/openapi.json docs/openapi.released.json

bench: $(STAMP)
	@exec $(BIN)/cart bench $(ARGS)

profile: $(STAMP)
	@exec $(BIN)/python -m dev.bench.profiling $(ARGS)

IMAGE ?= cart-service:dev

image:
	docker build $(if $(TARGET),--target $(TARGET)) --tag $(IMAGE) .

# In a separate environment, without development tools. The bill's subject has the version of api/version.py.
sbom: $(STAMP)
	@rm -rf $(VENV)/production && $(BIN)/python -m venv --without-pip $(VENV)/production
	@$(PIP) --python $(VENV)/production/bin/python install --require-hashes \
		--requirement requirements.lock
	@sed "s/^dynamic = .*/version = \"$$($(BIN)/python -m dev.release version)\"/" pyproject.toml \
		> $(VENV)/production/pyproject.toml
	@$(BIN)/cyclonedx-py environment --pyproject $(VENV)/production/pyproject.toml --mc-type application \
		--output-reproducible --output-file sbom.json $(VENV)/production/bin/python
	@echo "sbom.json: CycloneDX, $$(grep -c '"purl"' sbom.json) packages"

clients: $(STAMP)
	@$(BIN)/python -m dev.clients $(ARGS)

# Downloads generators and validators, the first time (npm, Go, Maven, pip).
check-clients: $(STAMP)
	@$(BIN)/pytest tests/clients $(ARGS)

# CHECK=--stand-ins where there is neither a container engine nor a registry.
check-deploy: $(STAMP)
	$(BIN)/pytest -q tests/deploy
	BIN=$(CURDIR)/$(BIN) tests/deploy/check.sh $(CHECK)

install: $(STAMP)

clean:
	rm -rf $(VENV) build dist site htmlcov .coverage .coverage.* .mypy_cache .ruff_cache \
		.pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -not -path "./.local/*" -prune -exec rm -rf {} +

$(STAMP): pyproject.toml requirements-dev.lock
	@if [ -e $(UNFINISHED) ]; then \
		echo "removing the rest of an interrupted installation in $(VENV)"; rm -rf $(VENV); \
	elif [ -e $(VENV) ] && ! $(BIN)/python -c '$(SUITABLE)' 2>/dev/null; then \
		echo "removing $(VENV): its Python is missing or not 3.11 to 3.13"; rm -rf $(VENV); \
	fi
	@if [ ! -e $(VENV) ]; then \
		python=; \
		for name in $(or $(PYTHON),python3.13 python3.12 python3.11 python3); do \
			if "$$name" -c '$(SUITABLE)' >/dev/null 2>&1; then python="$$name"; break; fi; \
		done; \
		if [ -z "$$python" ]; then \
			echo "No Python 3.11, 3.12 or 3.13 found$(if $(PYTHON), as PYTHON=$(PYTHON)):" \
				"install one, or name it: make PYTHON=/path/to/python3.13 …" >&2; exit 1; \
		fi; \
		if ! "$$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then \
			echo "$$python cannot make virtual environments: install the package python3-venv" \
				"(Debian, Ubuntu: apt-get install python3-venv)" >&2; exit 1; \
		fi; \
		echo "making $(VENV) with $$("$$python" --version)"; \
		mkdir -p $(VENV) && touch $(UNFINISHED) && "$$python" -m venv $(VENV) || exit 1; \
	fi
	@touch $(UNFINISHED)
	@echo "installing the locked dependencies into $(VENV); this takes a minute or two"
	@$(PIP) install --require-hashes --requirement requirements-dev.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@ && rm -f $(UNFINISHED)
