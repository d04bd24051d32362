"""Query-LIFE's parts: vision towers, the universal modal encoder, and the model itself."""
