"""The command line. What is not click or the standard library is imported where it is used, so that help comes fast."""
