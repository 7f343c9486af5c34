# wirelane: everything a fresh clone needs. Python 3.11 or newer is all that has to be there; `make` lists the rest.
#
#   PYTHON=...       the interpreter to make .venv with (python3.13, 3.12, 3.11, python3 or python, unless said)
#   PYTEST_ARGS=...  further arguments for pytest: make test PYTEST_ARGS='-k metadata -x'

.DEFAULT_GOAL := help
.PHONY: help env demo test test-all test-uvloop check interop interop-full fuzz bench costs fix protos system-packages clean
export PYTHON PYTEST_ARGS

help: ## what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

env: ## make .venv with everything to work on wirelane
	@tools/env.sh dev

demo: ## the tour: a server and every kind of call, in one process
	@tools/env.sh run
	@.venv/bin/wirelane demo

test: ## all tests
	@tools/env.sh test
	@.venv/bin/python -m pytest $(PYTEST_ARGS)

test-uvloop: ## all tests, on uvloop
	@tools/env.sh test
	@.venv/bin/python -m pytest --loop=uvloop $(PYTEST_ARGS)

test-all: ## all tests under each of CPython 3.11, 3.12 and 3.13 that this machine has
	@tools/test_all.sh 3.11 3.12 3.13

check: ## style, types, layers, generated code and its types, examples
	@tools/env.sh dev
	@.venv/bin/python tools/check.py $(ONLY)

interop: ## h2spec, grpc-go, grpcurl and the Connect conformance suite judge us, where there is Go (JUDGES=h2spec for one)
	@tools/env.sh test
	@PYTHONPATH=tools .venv/bin/python -m judges $(JUDGES)

interop-full: ## the same, and soak for longer
	@tools/env.sh test
	@PYTHONPATH=tools .venv/bin/python -m judges --full $(JUDGES)

fuzz: ## search for octets that break what reads them (TARGET=hpack for one, SECONDS=600 for each)
	@tools/env.sh fuzz
	@.venv/bin/python tools/run_fuzz.py run $(TARGET) --seconds $(or $(SECONDS),60)

bench: ## wirelane beside its peers, measured here and now (BENCH_ARGS=--help)
	@tools/env.sh bench
	@.venv/bin/python -m benchmarks $(BENCH_ARGS)

costs: ## count anew what a call costs in function calls and instructions, for the test that holds it there
	@tools/env.sh run
	@.venv/bin/python tools/record_costs.py

fix: ## let ruff format, and mend what it can
	@tools/env.sh dev
	@.venv/bin/ruff check --fix-only --quiet . ; .venv/bin/ruff format .

protos: ## generate the descriptors of protos/ again, and the package of examples/
	@tools/env.sh dev
	@.venv/bin/python tools/make_protos.py
	@.venv/bin/wirelane generate protos/demo/summator.proto --out examples/summator_rpc

system-packages: ## install the servers and proxies of others that tests speak to (Debian, as root)
	@tools/system_packages.sh

clean: ## remove environments, caches and builds
	rm -rf .venv .venv-3.* .venv-betterproto build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
