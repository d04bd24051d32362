"""Generators: models and heuristics that write text about a product."""
