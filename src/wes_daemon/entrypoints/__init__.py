"""The doors: how people and supervisors start what the package does."""
