"""What the daemon costs, measured: `python -m benchmarks` measures every figure and writes docs/benchmarks.md."""
