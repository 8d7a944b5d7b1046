# Each target makes the environment it needs first, and makes it again when pyproject.toml or constraints.txt change.
# PYTHON names the interpreter (3.11 to 3.13), JOBS the number of test processes, ONLY the benchmarks to run.

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3 python; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$p && break; done)
JOBS ?= 2
ONLY ?=

# The environment $(@D): new where it is absent or was left half made, else only brought up to date. `ready` is written last.
# torch comes first and pinned, because what is installed after it must not choose another one.
define environment
	@test -n "$(PYTHON)" || { echo "No Python 3.11 to 3.13 was found. Install one, or name it: make PYTHON=/path/to/python" >&2; exit 1; }
	@echo "Preparing $(@D), a few minutes the first time"
	@test -f $@ || $(PYTHON) -m venv --clear $(@D)
	@rm -f $@
	@$(@D)/bin/python -m pip install -qq --disable-pip-version-check -c constraints.txt torch
	@$(@D)/bin/python -m pip install -qq --disable-pip-version-check -c constraints.txt $(1)
	@touch $@
endef

.PHONY: demo app serve studies test test-slow test-browser lint types bench clean

demo: .venv/ready
	.venv/bin/cutis demo --out demo-run

app: demo-run/bundle/bundle.json
	.venv/bin/cutis app demo-run/bundle --open

serve: demo-run/bundle/bundle.json
	.venv/bin/cutis serve demo-run/bundle

studies: .venv/ready
	.venv/bin/cutis study run all --scale smoke --out studies-run

test: .venv/ready
	.venv/bin/python -m pytest -n $(JOBS) --dist loadfile

test-slow: .venv/ready
	.venv/bin/python -m pytest -m slow

test-browser: .venv/browser
	.venv/bin/python -m pytest -m browser -rs tests/browser

lint: .venv/ready
	.venv/bin/ruff check
	.venv/bin/ruff format --check

types: .venv/ready
	.venv/bin/mypy

bench: .venv-bench/ready
	.venv-bench/bin/python -m benchmarks $(ONLY)

clean:
	rm -rf .venv .venv-bench

# What the page and the API show where nothing else is at hand; made once, by the demo.
demo-run/bundle/bundle.json: | .venv/ready
	@echo "Making the demo's bundle first, a few minutes"
	.venv/bin/cutis demo --out demo-run

# Playwright, and a Chromium where the system has none; without one the tests say why they are skipped.
.venv/browser: .venv/ready
	.venv/bin/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[browser]'
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || .venv/bin/python -m playwright install chromium || true
	@touch $@

.venv/ready: pyproject.toml constraints.txt
	$(call environment,-e '.[dev]')

.venv-bench/ready: pyproject.toml constraints.txt benchmarks/requirements.txt
	$(call environment,-e '.[backends,serve]' -r benchmarks/requirements.txt)
