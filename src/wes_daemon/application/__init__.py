"""The daemon's use cases. They depend on the domain and on ports only."""
