"""Trains Query-LIFE on a genfilt database."""
