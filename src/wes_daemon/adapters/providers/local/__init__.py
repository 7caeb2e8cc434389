"""Runs CWL on the daemon's machine with cwltool; each run has its own process, which survives the end of the daemon."""
