# make bench: train the quick suite and print its tables. make test: linters, types and tests. Both first set up .venv, once.
PYTHON ?= python3
READY := .venv/.ready

# Long-running targets say how long they take in CONTRIBUTING.md.
.PHONY: bench test pages engines docs publish browser speed gpu reliability clean

bench: $(READY)
	@.venv/bin/fedrepro bench

test: $(READY)
	.venv/bin/ruff check .
	.venv/bin/ruff format --check --quiet .
	.venv/bin/mypy benchmark algorithms
	.venv/bin/lint-imports --no-cache
	.venv/bin/pytest -q

# the parts of docs/cli.md and README.md that repeat the commands and the tables
pages: $(READY)
	.venv/bin/python docs/generate.py

# Flower, Ray and submitit in an environment on top of the first, and their tests
engines: .venv-engines/.ready
	RAY_USAGE_STATS_ENABLED=0 FLWR_TELEMETRY_ENABLED=0 .venv-engines/bin/python -m pytest -q tests/engines

.venv-engines/.ready: $(READY) requirements-engines.lock
	@$(PYTHON) -m venv .venv-engines
	@.venv-engines/bin/pip install -qq --no-compile --disable-pip-version-check --no-deps -r requirements-engines.lock
	@.venv/bin/python -c 'import site; print("import site; site.addsitedir(%r)" % site.getsitepackages()[0])' \
	    > "$$(.venv-engines/bin/python -c 'import site; print(site.getsitepackages()[0])')/core.pth"
	@touch $@

docs: $(READY)
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --quiet

# commits the site to the branch gh-pages, under the number of the protocol: the pages of older protocols stay
publish: $(READY)
	.venv/bin/pip install -qq --disable-pip-version-check mike==2.*
	NO_MKDOCS_2_WARNING=1 .venv/bin/mike deploy --alias-type copy --update-aliases \
	    "protocol-$$(.venv/bin/python -c 'from benchmark.core.version import PROTOCOL; print(PROTOCOL)')" latest
	.venv/bin/mike set-default latest

# the site and the report in Chromium: that of this machine, or else one that Playwright fetches
browser: $(READY)
	.venv/bin/pip install -qq --disable-pip-version-check playwright==1.*
	@for name in chromium google-chrome chromium-browser chrome; do command -v $$name >/dev/null && break; done \
	    || .venv/bin/playwright install chromium
	.venv/bin/pytest -q tests/browser

# needs a quiet machine and CIFAR-10 (fedrepro data status)
speed: $(READY)
	.venv/bin/pytest -q tests/benchmarks/test_speed.py --benchmark-enable --benchmark-timer=time.process_time \
	    --benchmark-json=results/speed/parts.json
	.venv/bin/pytest -q tests/benchmarks/test_rounds.py --benchmark-enable --benchmark-json=results/speed/rounds.json
	.venv/bin/python tests/benchmarks/tables.py

# on a machine with an accelerator, with the Python that is there: see docs/gpu.md
gpu:
	@$(PYTHON) -m benchmark.profiling.gpu --minutes $(or $(MINUTES),10)

# writes its figures into docs/reliability.md
reliability: $(READY)
	.venv/bin/pytest -q -m reliability --figures

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	@echo "installing the pinned packages into .venv: about 6 GB, one to three minutes"
	@$(PYTHON) -m venv .venv
	@.venv/bin/pip install -qq --no-compile --disable-pip-version-check -r requirements.lock
	@.venv/bin/pip install -qq --no-compile --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

clean:
	rm -rf .venv .venv-engines bench build site *.egg-info .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
