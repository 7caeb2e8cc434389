"""What is put round a provider: each decorator is itself a `WorkflowProvider`."""
