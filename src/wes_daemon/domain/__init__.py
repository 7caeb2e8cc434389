"""Runs and their states: pure values, without a clock, I/O or a framework."""
