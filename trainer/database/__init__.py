"""Reading a genfilt database into compact arrays."""
