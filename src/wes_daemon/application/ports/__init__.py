"""The interfaces through which the core uses databases, providers and its environment."""
