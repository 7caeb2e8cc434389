"""Workflow providers, one package for each service, and the decorators that go round them."""
