"""Training batches: order of rows, pictures, positive masks, both sides of a contrast."""
