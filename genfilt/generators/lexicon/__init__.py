"""The embedded reader of titles."""
