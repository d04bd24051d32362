.PHONY: test-models

# The real models' code, run with small models. Fails where an environment cannot be built.
test-models: $(STAMP)
	$(BIN)/python tests/models/environments.py
	$(BIN)/pytest -m models tests/models --durations=10
