"""Generators: what writes text about a product."""
