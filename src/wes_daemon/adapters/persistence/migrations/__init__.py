"""The migrations of the schema. To tables that a WES service may own they only add."""
