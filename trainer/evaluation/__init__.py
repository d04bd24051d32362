"""Measures of a trained model on a split."""
