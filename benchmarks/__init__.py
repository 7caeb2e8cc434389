"""Measurements of the daemon's costs: `python -m benchmarks` measures every figure and writes docs/benchmarks.md."""
