"""Curates training pairs for e-commerce relevance."""
