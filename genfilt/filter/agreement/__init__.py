"""Agreement of the attribute values that a query requests with those of a product's texts."""
