"""AWS HealthOmics on boto3."""
