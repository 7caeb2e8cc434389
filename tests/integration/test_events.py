"""Events through a queue: the real SDK against a simulated SQS on loopback."""

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

import boto3
import pytest
from moto.server import ThreadedMotoServer

from tests.builders import a_request, a_run, a_submission_policy
from tests.contracts.events import HintSourceContract, QueueHarness
from tests.integration.providers.healthomics_harness import CONFIG, simulated
from tests.simulators.healthomics.server import HealthOmicsSimulator
from tests.unit.adapters.test_event_messages import an_event
from tests.unit.application.conftest import World
from wes_daemon.adapters.memory.environment import ManualClock
from wes_daemon.adapters.memory.providers import MemoryProviderDirectory
from wes_daemon.adapters.providers.healthomics.config import HealthOmicsConfig
from wes_daemon.adapters.providers.healthomics.hints import MAX_WAIT, SqsHints
from wes_daemon.adapters.providers.healthomics.provider import HealthOmicsProvider
from wes_daemon.application.following.follow_events import FollowEvents
from wes_daemon.application.ports.events import HintsUnavailable, Message, Receipt
from wes_daemon.application.runtime.stop_signal import StopSignal
from wes_daemon.domain.runs import ProviderType
from wes_daemon.domain.states import RunState

AT_ONCE = timedelta(0)


class SqsQueue(QueueHarness):
    """A new queue at the simulated SQS."""

    def __init__(self, endpoint: str) -> None:
        self._sqs = boto3.client(
            "sqs",
            endpoint_url=endpoint,
            region_name=CONFIG.region,
            aws_access_key_id=CONFIG.access_key_id,
            aws_secret_access_key=CONFIG.secret_access_key,
        )
        self.url = self._sqs.create_queue(QueueName=f"events-{uuid4()}")["QueueUrl"]
        self._source = SqsHints(self.url, CONFIG, wait=AT_ONCE)
        self._received: Sequence[Receipt] = ()

    @property
    def source(self) -> SqsHints:
        return self._source

    def send(self, id: str, uuid: str) -> None:
        self.send_event(an_event(detail={"arn": f"arn:aws:omics:us-east-1:123456789012:run/{id}", "uuid": uuid}))

    def send_event(self, event: dict[str, Any]) -> None:
        """Send an event as EventBridge does."""
        self._send(json.dumps(event))

    def send_foreign(self) -> None:
        self._send(json.dumps(an_event(source="aws.s3")))

    def send_unreadable(self) -> None:
        self._send("hello")

    def deliver_again(self) -> None:
        for receipt in self._received:
            # Deleted messages are no longer in flight.
            with suppress(self._sqs.exceptions.ClientError):
                self._sqs.change_message_visibility(QueueUrl=self.url, ReceiptHandle=receipt, VisibilityTimeout=0)

    def take_away(self) -> None:
        self._sqs.delete_queue(QueueUrl=self.url)

    @property
    def left(self) -> int:
        """Number of messages that were not deleted, in flight or not."""
        counts = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = self._sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=counts)
        return sum(int(answer["Attributes"][count]) for count in counts)

    def received(self) -> Sequence[Message]:
        found = super().received()
        self._received = [message.receipt for message in found]
        return found

    def _send(self, body: str) -> None:
        self._sqs.send_message(QueueUrl=self.url, MessageBody=body)


@dataclass
class Site:
    """A daemon that follows one run at a simulated HealthOmics, with events."""

    world: World
    clock: ManualClock
    simulator: HealthOmicsSimulator
    source: SqsHints

    def __post_init__(self) -> None:
        self.world.queue(a_run(request=a_request(workflow_url="omics:1234567")))
        self.daemon = self.world.daemon()
        self.daemon.submit()
        self.daemon.refresh(ahead=timedelta(hours=1))
        self.clock.advance(timedelta(seconds=2))
        self.follow = self.following(self.source)

    def following(self, source: SqsHints) -> FollowEvents:
        """A `FollowEvents` for a source."""
        return FollowEvents(
            source=source,
            provider=ProviderType.HEALTHOMICS,
            units=self.world.plain_units,
            refresh=lambda: None,
            clock=self.clock,
            stop=StopSignal(),
        )

    @property
    def run_id(self) -> str:
        """The run's id at HealthOmics."""
        return str(self.world.run().provider_run_id).partition("/")[0]

    def event(self) -> dict[str, Any]:
        """EventBridge's event about the run."""
        run = self.simulator.service.run(self.run_id)
        detail = {"omicsVersion": "1.0.0", "arn": run.arn, "status": run.status, "uuid": run.uuid}
        return an_event(resources=[run.arn], detail=detail)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """The address of a simulated SQS."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def queue(endpoint: str) -> SqsQueue:
    return SqsQueue(endpoint)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch, queue: SqsQueue) -> Iterator[Site]:
    clock = ManualClock()
    with simulated(monkeypatch, clock.now) as simulator:
        world = World(
            clock=clock,
            submission_policy=a_submission_policy(concurrency_limit=1, default_provider=ProviderType.HEALTHOMICS),
        )
        provider = HealthOmicsProvider(CONFIG, clock=clock)
        world.directory = MemoryProviderDirectory({ProviderType.HEALTHOMICS: provider})
        yield Site(world, clock, simulator, queue.source)


class TestSqsHints(HintSourceContract):
    @pytest.fixture
    def queue(self, endpoint: str) -> SqsQueue:
        return SqsQueue(endpoint)


def test_events_end_the_run_and_all_messages_are_deleted(site: Site, queue: SqsQueue) -> None:
    site.simulator.service.end_at_once(site.run_id, "COMPLETED")
    queue.send_event(site.event())
    queue.send_event(site.event())
    queue.send("7654321", "another-accounts")
    queue.send_foreign()
    queue.send_unreadable()

    report = site.follow()
    site.daemon.refresh()

    assert (report.hints, report.other, report.unreadable) == (3, 1, 1)
    assert site.world.run().state is RunState.COMPLETE
    assert queue.left == 0


def test_the_status_in_an_event_is_not_recorded(site: Site, queue: SqsQueue) -> None:
    site.simulator.service.reach(site.run_id, "RUNNING")
    queue.send_event(an_event(detail=site.event()["detail"] | {"status": "COMPLETED"}))

    site.follow()
    site.daemon.refresh()

    assert site.world.run().state is RunState.RUNNING


def test_a_message_is_delivered_again_when_the_daemon_dies_before_it_deletes_it(
    site: Site, queue: SqsQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.send_event(site.event())
    monkeypatch.setattr(queue.source, "delete", _crash)
    with pytest.raises(KeyboardInterrupt):
        site.follow()

    looked_at = site.daemon.refresh().polled

    assert (looked_at, queue.left) == (1, 1)


def test_a_missing_queue_is_logged_once(site: Site, queue: SqsQueue, caplog: pytest.LogCaptureFixture) -> None:
    follow = site.following(SqsHints(f"{queue.url}-gone", CONFIG, wait=AT_ONCE))

    for _ in range(5):
        follow()
        site.clock.advance(timedelta(minutes=10))

    [line] = caplog.messages
    assert line.startswith("events.unavailable provider=healthomics")
    assert "does not exist" in line
    assert "docs/events.md" in line


def test_an_unreachable_address_is_reported() -> None:
    source = SqsHints("http://127.0.0.1:1/123456789012/events", CONFIG)

    with pytest.raises(HintsUnavailable, match=r"127\.0\.0\.1:1"):
        source.receive()
    with pytest.raises(HintsUnavailable):
        source.delete([Receipt("1")])


def test_half_a_pair_of_keys_is_reported(queue: SqsQueue) -> None:
    source = SqsHints(queue.url, HealthOmicsConfig(region="us-east-1", access_key_id="testing"))

    with pytest.raises(HintsUnavailable, match="AWS_SECRET_ACCESS_KEY"):
        source.receive()


def test_the_wait_is_as_long_as_the_service_allows_and_shorter_than_the_read(endpoint: str) -> None:
    source = SqsHints(f"{endpoint}/123456789012/events", CONFIG)

    config = source._sqs().meta.config

    assert config.read_timeout > MAX_WAIT.total_seconds() == 20


def test_the_region_is_that_of_the_queue() -> None:
    source = SqsHints("https://sqs.eu-west-2.amazonaws.com/123456789012/events", CONFIG)

    meta = source._sqs().meta

    assert (meta.region_name, meta.endpoint_url) == ("eu-west-2", "https://sqs.eu-west-2.amazonaws.com")


def _crash(_: object) -> None:
    raise KeyboardInterrupt
