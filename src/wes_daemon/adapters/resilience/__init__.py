"""Wrappers for any provider: rate limiting, retries, circuit breaking, batching, telemetry."""
