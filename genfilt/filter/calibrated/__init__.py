"""A sigma that means a probability: attribute agreement, what the log teaches, one linear score."""
