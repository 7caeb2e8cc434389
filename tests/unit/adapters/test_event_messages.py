"""Reading the body of a message; the examples are AWS' own, with invented names."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from wes_daemon.adapters.providers.healthomics.hints import queue_location, read_message
from wes_daemon.application.ports.events import Message, Receipt, Subject

UUID = "8dd3b5c2-4b0e-4c4f-9d57-0f1f3a2b1c0d"
ARN = "arn:aws:omics:us-east-1:123456789012:run/1234567"


def an_event(**changes: object) -> dict[str, Any]:
    detail = {
        "omicsVersion": "1.0.0",
        "arn": ARN,
        "status": "COMPLETED",
        "uuid": UUID,
        "runId": "1234567",
        "runName": "wes-run-1",
    }
    event = {
        "version": "0",
        "id": "7ab5d1f0-0000-4000-8000-000000000000",
        "detail-type": "Run Status Change",
        "source": "aws.omics",
        "account": "123456789012",
        "time": "2026-01-01T12:00:00Z",
        "region": "us-east-1",
        "resources": [ARN],
        "detail": detail,
    }
    return event | changes


def read(event: object) -> Message:
    return read_message(Receipt("1"), event if isinstance(event, str) else json.dumps(event))


def test_a_run_is_named_with_its_uuid_and_without() -> None:
    message = read(an_event())

    assert message.subject is Subject.RUN
    assert set(message.ids) == {f"1234567/{UUID}", "1234567"}


def test_different_ids_in_arn_and_detail_are_both_reported() -> None:
    message = read(an_event(detail=an_event()["detail"] | {"runId": "7654321"}))

    assert {f"1234567/{UUID}", f"7654321/{UUID}"} <= set(message.ids)


@pytest.mark.parametrize(
    ("changes", "ids"),
    [
        ({"detail": {"omicsVersion": "1.0.0", "arn": ARN, "status": "RUNNING"}}, {"1234567"}),
        ({"detail": {"status": "RUNNING"}}, {"1234567"}),
        ({"detail": None}, {"1234567"}),
        ({"detail": {"runId": "77", "uuid": UUID}, "resources": []}, {f"77/{UUID}", "77"}),
        ({"detail": {"runId": 77, "uuid": None, "arn": ["x"]}}, {"1234567"}),
        ({"resources": [ARN.replace("aws", "aws-cn").replace("us-east-1", "cn-north-1")], "detail": {}}, {"1234567"}),
        ({"detail": {"arn": ARN, "uuid": "not a uuid\n"}}, {"1234567"}),
    ],
)
def test_an_incomplete_event_is_read_as_far_as_possible(changes: Mapping[str, object], ids: set[str]) -> None:
    assert set(read(an_event(**changes)).ids) == ids


def test_an_event_in_the_envelope_of_an_sns_topic_is_read() -> None:
    wrapped = {"Type": "Notification", "TopicArn": "arn:aws:sns:us-east-1:123456789012:t", "Message": "{}"}

    message = read(wrapped | {"Message": json.dumps(an_event())})

    assert f"1234567/{UUID}" in message.ids


@pytest.mark.parametrize(
    "event",
    [
        an_event(source="aws.s3"),
        an_event(**{"detail-type": "Task Status Change"}),
        {"Records": []},
        {},
        {"Type": "Notification", "Message": "{}"},
        {"Type": "SubscriptionConfirmation", "Message": "You have chosen to subscribe"},
    ],
)
def test_other_messages_are_foreign(event: object) -> None:
    message = read(event)

    assert (message.subject, message.ids) == (Subject.OTHER, ())


@pytest.mark.parametrize(
    "body",
    [
        "",
        "run 1234567 has ended",
        '{"source": "aws.omics"',
        "[]",
        "null",
        '"text"',
        "[" * 100_000,
        {"Type": "Notification", "Message": "hello"},
        {"Type": "Notification", "Message": "[1]"},
        {"Type": "Notification"},
        an_event(detail={"arn": "arn:aws:omics:us-east-1:123456789012:workflow/1"}, resources="x"),
        an_event(detail=[], resources=None),
        an_event(detail={"runId": "1; DROP TABLE polls"}, resources=[ARN + "/x"]),
    ],
    ids=range(13),
)
def test_an_unreadable_message_is_reported_without_its_contents(body: object) -> None:
    message = read(body)

    assert (message.subject, message.ids) == (Subject.UNREADABLE, ())
    assert message.problem
    assert "DROP" not in message.problem


@pytest.mark.parametrize(
    ("host", "region", "endpoint"),
    [
        ("https://sqs.eu-west-2.amazonaws.com", "eu-west-2", None),
        ("https://sqs.cn-north-1.amazonaws.com.cn", "cn-north-1", None),
        ("https://sqs.us-gov-west-1.amazonaws.com", "us-gov-west-1", None),
        ("https://sqs-fips.us-east-1.amazonaws.com", "us-east-1", "https://sqs-fips.us-east-1.amazonaws.com"),
        ("https://eu-west-1.queue.amazonaws.com", "eu-west-1", "https://eu-west-1.queue.amazonaws.com"),
        (
            "https://vpce-1a2b.sqs.us-east-2.vpce.amazonaws.com",
            "us-east-2",
            "https://vpce-1a2b.sqs.us-east-2.vpce.amazonaws.com",
        ),
        ("http://127.0.0.1:5000", None, "http://127.0.0.1:5000"),
    ],
)
def test_the_url_of_a_queue_contains_region_and_endpoint(host: str, region: str | None, endpoint: str | None) -> None:
    url = f"{host}/123456789012/wes-events"

    assert queue_location(url) == (region, endpoint)
