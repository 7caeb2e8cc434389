"""Runs CWL on this machine with cwltool, each run in a process of its own that outlives the daemon."""
