"""Step 2: attributes of titles and captions of pictures, for all that is missing."""
