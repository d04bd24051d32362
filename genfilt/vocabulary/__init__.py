"""English word lists and their meaning, shared by the lexicon reader and the calibrated rule."""
