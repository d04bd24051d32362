"""Review of corrections in the browser: a queue of cards, answers written at once."""
