"""The threshold join: every pair of two vector sets whose inner product reaches a threshold."""
