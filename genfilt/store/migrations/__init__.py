"""Migrations of databases of older schema versions."""
