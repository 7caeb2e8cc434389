"""Every port in memory: the fakes of the unit tests, and a start for those who import the package."""
