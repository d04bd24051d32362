"""A trained model for others to use."""
