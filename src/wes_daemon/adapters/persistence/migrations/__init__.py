"""The migrations of the schema. They only add to tables that a WES service may own."""
