"""The correction tables as positives of other trainers."""
