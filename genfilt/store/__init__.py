"""The DuckDB file: schema, content keys, writing and read-only access."""
