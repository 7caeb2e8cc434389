"""How the database came to be as it is, step by step; additive on tables that a WES service may own."""
