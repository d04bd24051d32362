"""Blind human comparison of two models (the paper's Table 4)."""
