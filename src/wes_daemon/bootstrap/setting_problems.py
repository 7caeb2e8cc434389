"""What is wrong with the value of a setting, in words for the person who wrote it."""

from collections.abc import Mapping

from pydantic_core import ErrorDetails

# How a value looks, for settings whose values have a pattern.
_FORMS: Mapping[str, str] = {
    "SEVENBRIDGES_API_ENDPOINT": "https://api.sbgenomics.com/v2",
    "SEVENBRIDGES_PROJECT": "owner/project",
    "AWS_REGION": "us-east-1",
    "AWS_HEALTHOMICS_WORKFLOW_ROLE_ARN": "arn:aws:iam::ACCOUNT:role/NAME",
    "AWS_HEALTHOMICS_OUTPUT_URI": "s3://bucket/prefix",
    "AWS_HEALTHOMICS_EVENTS_QUEUE_URL": "https://sqs.REGION.amazonaws.com/ACCOUNT/NAME",
}


def problem_of(name: str, detail: ErrorDetails) -> str:
    """Return what pydantic found, without the value; for a pattern, a value that has it."""
    if detail["type"] == "string_pattern_mismatch" and name in _FORMS:
        return f"write it as {_FORMS[name]}"
    if detail["type"] == "bool_parsing":
        return "input should be a valid boolean: true or false"
    message = detail["msg"].removeprefix("Value error, ")
    return message[:1].lower() + message[1:]
