"""A WES server on a port of its own, with switches for the ways in which real servers differ.

See docs/providers/wes.md for what is known of real ones.
"""
