"""Pictures through vision-language models."""
