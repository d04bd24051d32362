"""The lexicon: a reader of titles by word lists and rules."""
