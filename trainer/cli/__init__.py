"""The trainer command."""
