"""Training of one stage: loop, optimiser, checkpoints, run log."""
