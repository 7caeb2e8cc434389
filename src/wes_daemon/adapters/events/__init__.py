"""Sources of hints: events that providers send through queues."""
