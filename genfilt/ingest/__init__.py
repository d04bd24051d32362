"""Step 1: the user's catalogue, queries, clicks, labels and reviews into the tables."""
