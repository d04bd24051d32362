"""Step 3: feature texts, their numbers and their sentence embeddings."""
