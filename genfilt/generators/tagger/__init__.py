"""The embedded tagger of titles: a small encoder that labels each word."""
