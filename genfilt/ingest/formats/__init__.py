"""File formats of the tables: delimited text and JSON, in any encoding."""
