"""One file per use case, one callable class in each."""
