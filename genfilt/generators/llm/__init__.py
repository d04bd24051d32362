"""Titles through language models: served (vLLM, any OpenAI-compatible server) or offline."""
