"""Pictures through LAVIS, in a worker process with a separate environment."""
