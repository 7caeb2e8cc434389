"""The provider for AWS HealthOmics, on boto3."""
