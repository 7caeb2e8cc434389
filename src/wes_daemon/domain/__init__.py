"""What a run is and what may become of it: pure values, no clock, no I/O, no framework."""
