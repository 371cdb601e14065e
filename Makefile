# Thin: each target is one Python command. `make book` and `make test` set up .venv by themselves.
PYTHON  ?= python3
PROFILE ?= quick
VENV    := .venv/bin/python

.PHONY: book pdf epub test lab serve serve-model clean setup engines
book: setup
	$(VENV) -m book build --profile $(PROFILE) $(ARGS)
pdf: setup
	$(VENV) -m book pdf $(ARGS)
epub: setup
	$(VENV) -m book epub $(ARGS)
test: setup
	$(VENV) -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)
lab: setup
	$(VENV) -m book lab $(ARGS)
serve: setup
	$(VENV) -m book serve $(ARGS)
serve-model: setup
	$(VENV) -m helpers.serving _build/artifacts/models $(ARGS)
clean: setup
	$(VENV) -m book clean $(ARGS)
setup:
	@$(PYTHON) -m book setup
engines:
	@$(PYTHON) -m book setup --engine all
