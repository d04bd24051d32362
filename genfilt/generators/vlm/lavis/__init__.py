"""Pictures through LAVIS, in a worker process with an environment of its own."""
