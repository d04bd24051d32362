"""The genfilt command."""
