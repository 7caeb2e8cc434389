"""Compares the database with the providers, repairs discrepancies, and verifies the database."""
