"""Pages on 127.0.0.1 on which people judge one item after another, and the same as one file."""
