"""The command line. Modules import only click and the standard library at their top, so that help is printed fast."""
