# `make help` lists what there is. `setup` makes .venv with the exact versions of requirements.lock.

# The first of these that is new enough is taken.
PYTHONS ?= python3 python3.13 python3.12 python3.11
# The extras that requirements.lock pins; vLLM's, which are as large as all the rest together, have a lock of their own.
LOCKED := --extra avro --extra embedded --extra demo --extra llamacpp --extra semantic --extra dev --group weights
BENCHMARKS ?= fold history produce latency
BIN := .venv/bin
STAMP := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-vllm check gen release bench peers lock

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' Makefile

# The stamp holds a checksum of all that an installed environment depends on: the pins, the project's own
# metadata, what is compiled, and the folder, which an editable install points at.
setup: ## install everything, pinned, into .venv; does nothing when nothing changed
	@wanted=$$({ cat requirements.lock pyproject.toml */native/*.[ch]; pwd; } | cksum); \
	if [ "$$wanted" = "$$(cat $(STAMP) 2>/dev/null)" ] && $(BIN)/python -c '' 2>/dev/null; then exit 0; fi; \
	fits='import sys; sys.exit(sys.version_info < (3, 11))'; \
	if ! $(BIN)/python -c "$$fits" 2>/dev/null; then \
		found=; \
		for python in $(PYTHONS); do \
			if $$python -c "$$fits" 2>/dev/null; then found=$$python; break; fi; \
		done; \
		if [ -z "$$found" ]; then \
			echo "Norn needs Python 3.11 or newer; none of '$(PYTHONS)' is one. Install one (Debian: apt-get install" \
				"python3.11 python3.11-venv) or name yours: make setup PYTHONS=/path/to/python3.12" >&2; \
			exit 1; \
		fi; \
		echo "Making .venv with $$($$found --version)"; \
		$$found -m venv --clear .venv || { \
			echo "Python's venv failed; on Debian: apt-get install python3-venv" >&2; exit 1; }; \
	fi; \
	echo "Installing $$(grep -c == requirements.lock) packages into .venv"; \
	export PIP_DISABLE_PIP_VERSION_CHECK=1; \
	{ $(BIN)/pip install --quiet --no-deps "$$(grep '^uv==' requirements.lock)" \
		&& $(BIN)/uv pip install --python $(BIN)/python --no-deps -r requirements.lock; } \
	|| { echo "uv could not; trying again with pip"; $(BIN)/pip install --no-deps -r requirements.lock; } \
	|| { echo "Some package could not be installed; see above. NetHack (nle) and others have wheels for Linux on" \
		"x86-64 with Python 3.11 to 3.13: try make setup PYTHONS=python3.13 after removing .venv" >&2; exit 1; }; \
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable . \
	&& echo "$$wanted" > $(STAMP) \
	&& echo "Next: '$(BIN)/norn demo' plays a whole world; '$(BIN)/norn up' starts the servers alone;" \
		"'$(BIN)/norn doctor' looks for what is missing."

demo: setup ## play: real servers, real heroes, a live view; Ctrl-C ends it
	@$(BIN)/norn demo

# Half of a test's time is waiting for a server, so on two cores three at once finish soonest. In their own order the long
# ones come first; else those files do that hold many tests, however short.
test: setup ## every test, with real Kafka, Postgres and ClickHouse
	@$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder

# In an environment of its own: six gigabytes that nothing else needs. AVX2 is enough; the first start takes a minute.
test-vllm: setup ## vLLM for real, on the processor, with the packaged weights (VLLM_TESTS='-k NAME' for some)
	@wanted=$$(cksum < requirements-vllm.lock); \
	if [ "$$wanted" != "$$(cat .venv-vllm/.installed 2>/dev/null)" ]; then \
		echo "Installing $$(grep -c == requirements-vllm.lock) packages into .venv-vllm"; \
		$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-vllm \
		&& $(BIN)/uv pip install --quiet --python .venv-vllm/bin/python --no-deps -r requirements-vllm.lock \
		&& echo "$$wanted" > .venv-vllm/.installed || exit 1; \
	fi; \
	.venv-vllm/bin/python -m pytest tests/vllm --confcutdir=tests/vllm -p no:cacheprovider $(VLLM_TESTS)

check: setup ## style, types, arrows between packages, requirements, generated code in step
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict -p schemas -p projections -p inference -p streams
	$(BIN)/lint-imports
	$(BIN)/pytest -q tests/test_requirements.py tests/unit/test_private_names.py
	@fresh=$$(mktemp -d) && trap 'rm -r "$$fresh"' EXIT && $(BIN)/python schemas/generate.py "$$fresh" \
	&& { diff -r -x __pycache__ schemas/gen "$$fresh" || { echo "schemas/gen is out of step: run make gen" >&2; exit 1; }; }

gen: setup ## generate schemas/gen from schemas/proto
	@$(BIN)/python schemas/generate.py

release: setup ## freeze the shapes of the facts as a release's: make release VERSION=0.2.0
	@$(BIN)/python schemas/generate.py --release "$(VERSION)"

bench: setup ## measure: fold, history, produce, latency; BENCHMARKS=fold for one
	@for question in $(BENCHMARKS); do $(BIN)/norn bench $$question --json || exit 1; done

# In an environment of their own: they want other versions of what Norn uses.
peers: setup ## install the benchmarks' peers (Quix Streams, Bytewax, Pathway), pinned, into .venv-peers
	@wanted=$$(cksum < requirements-peers.lock); \
	if [ "$$wanted" != "$$(cat .venv-peers/.installed 2>/dev/null)" ]; then \
		echo "Installing $$(grep -c == requirements-peers.lock) packages into .venv-peers"; \
		$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-peers \
		&& $(BIN)/uv pip install --quiet --python .venv-peers/bin/python --no-deps -r requirements-peers.lock \
		&& echo "$$wanted" > .venv-peers/.installed || exit 1; \
	fi

lock: setup ## resolve requirements.lock again, keeping what still fits; UPGRADE=--upgrade for the newest
	@$(BIN)/uv pip compile pyproject.toml $(LOCKED) --universal --no-annotate --no-header --quiet $(UPGRADE) \
		--output-file requirements.lock
