"""The embedded captioner: colours of the picture, type word of its nearest neighbours."""
