# Two commands matter: `make demo` runs the main job, `make test` passes the tests. Each sets up what it needs.
SHELL := /bin/sh
VENV := .venv
PY := $(VENV)/bin/python
# The newest Python from 3.11 on that is here; PYTHON=… chooses another.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
OUT ?= demo
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: setup system demo test review-only long lint docs clean

setup: system $(VENV)/ready

system:
	@test -n "$(PYTHON)" || { echo "napari-ssl needs Python 3.11 or newer; none is on the PATH (PYTHON=/path/to/python3 names one)." >&2; exit 1; }
	@$(PYTHON) -m napari_ssl.system --install || echo "Going on without; the window and its tests need what is named above." >&2

# torch comes first and alone, so that nothing pulls another build of it; one that is in the environment stays.
$(VENV)/ready: pyproject.toml
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "Python's venv module is missing; on Debian or Ubuntu the package python3-venv holds it." >&2; exit 1; }
	@echo "Setting up $(VENV), once: downloads of 2 GB and more take some minutes." >&2
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@$(PY) -c 'import torch' 2>/dev/null || { echo "… PyTorch" >&2; $(PY) -m pip install -q --root-user-action=ignore torch==2.13.0; }
	@echo "… napari and the other packages" >&2
	@$(PY) -m pip install -q --root-user-action=ignore -e '.[train,gui,formats,postgres,cluster,docs,dev]'
	@$(PY) -m pip install -q --root-user-action=ignore 'pydensecrf2>=1.1' || echo "pydensecrf2 could not be built (it needs a C++ compiler, Debian: g++); the CRF runs on torch instead." >&2
	@touch $@

demo: setup
	@if [ -n "$$DISPLAY$$WAYLAND_DISPLAY" ]; then $(VENV)/bin/napari-ssl demo --out $(OUT); else \
		echo "No display: the loop runs headless, a policy standing in for the clinician."; \
		$(VENV)/bin/napari-ssl demo --headless --out $(OUT); fi

test: setup
	@$(PY) -m napari_ssl.system
	@settings=$$(mktemp -d) && PYTHONUTF8=1 NAPARI_CONFIG=$$settings/settings.yaml xvfb-run -a -s "-screen 0 1920x1200x24" \
		$(PY) -m pytest $(ARGS); status=$$?; rm -rf "$$settings"; exit $$status

# The window in an environment of its own, without torch: makes it, reviews in it, some minutes.
review-only: setup
	@settings=$$(mktemp -d) && NAPARI_SSL_TEST_REVIEW_ONLY=1 NAPARI_CONFIG=$$settings/settings.yaml \
		xvfb-run -a -s "-screen 0 1920x1200x24" $(PY) -m pytest tests/gui/test_review_only.py -v; \
		status=$$?; rm -rf "$$settings"; exit $$status

# The long ones: a training killed 50 times, 100,000 damaged files, the engine's times; about half an hour.
long: setup
	NAPARI_SSL_KILLS=50 $(PY) -m pytest -q tests/training/test_kill_training.py --timeout 3600
	NAPARI_SSL_FUZZ=100000 $(PY) -m pytest -q tests/fuzz --timeout 7200
	$(PY) benchmarks/engine.py

lint: setup
	$(VENV)/bin/ruff check napari_ssl tests benchmarks docs
	$(VENV)/bin/ruff format --check napari_ssl tests benchmarks docs
	$(VENV)/bin/lint-imports

docs: setup
	@$(PY) -m sphinx -q -W --keep-going docs docs/_build
	@echo "docs/_build/index.html"

clean:
	rm -rf $(VENV) $(OUT) build docs/_build docs/generated *.egg-info
