"""Workflow providers, one package for each service."""
