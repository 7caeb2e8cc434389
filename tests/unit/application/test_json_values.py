"""A new run is stored with exactly the values that were given, or it is refused (C1)."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum, StrEnum
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.builders import a_request
from tests.unit.application.conftest import World
from wes_daemon.adapters.memory.environment import CountingIds
from wes_daemon.application.requests.create_run import CreateRun
from wes_daemon.application.requests.json_values import MAX_DEPTH
from wes_daemon.domain.errors import InvalidRequest
from wes_daemon.domain.runs import Attachment


@dataclass
class Sample:
    name: str


class Colour(Enum):
    RED = 1


class Word(StrEnum):
    HELLO = "hello"


class Scalar:
    """Has the members by which the scalars of numpy are known."""

    shape = ()

    def __init__(self, kind: str, value: object) -> None:
        self.dtype = SimpleNamespace(kind=kind)
        self._value = value

    def __repr__(self) -> str:
        # Ids of tests must not contain addresses.
        return f"{type(self).__name__}({self._value!r})"

    def item(self) -> object:
        return self._value


class Array(Scalar):
    """Has the members by which the arrays of numpy are known."""

    def __init__(self, *values: int) -> None:
        super().__init__("i", values[0])
        self.shape = (len(values),)  # type: ignore[assignment]  # the type differs, as in numpy
        self._values = list(values)

    def tolist(self) -> list[int]:
        return self._values


def nested(levels: int) -> object:
    value: object = 1
    for _ in range(levels - 1):
        value = [value]
    return {"n": value}


def cyclic() -> object:
    value: list[object] = [1]
    value.append({"inner": value})
    return {"n": value}


@pytest.fixture
def create_run(world: World) -> CreateRun:
    return CreateRun(units=world.plain_units, clock=world.clock, ids=CountingIds("run"), by="ada@lab")


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (None, None),
        (True, True),
        ("Ω 🧬", "Ω 🧬"),
        (Word.HELLO, "hello"),
        (2**63 - 1, 2**63 - 1),
        (-(2**63), -(2**63)),
        (0.1, 0.1),
        (1e300, 1e300),
        (Decimal("0.1"), 0.1),
        (Decimal("1.50"), 1.5),
        (Decimal("4"), 4),
        (Decimal("1E+30"), 1e30),
        ((1, [2]), [1, [2]]),
        (range(2), [0, 1]),
        (Scalar("i", 7), 7),
        (Scalar("u", 7), 7),
        (Scalar("f", 0.5), 0.5),
        (Scalar("b", True), True),
    ],
    ids=repr,
)
@pytest.mark.parametrize("member", ["workflow_params", "workflow_engine_parameters", "tags"])
def test_a_value_that_json_has_is_kept_by_its_value(
    world: World, create_run: CreateRun, member: str, given: object, stored: object
) -> None:
    values = {"a": [given]}
    if member == "tags":
        create_run(a_request(), tags=values)
    else:
        create_run(a_request(**{member: values}))

    run = world.run()
    found: Any = run.tags if member == "tags" else getattr(run.request, member)
    assert found == {"a": [stored]}
    assert type(found["a"][0]) is type(stored)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("a\0b", "the character NUL"),
        ("\ud83e", "half of a surrogate pair"),
        (float("nan"), "not a finite number"),
        (float("-inf"), "not a finite number"),
        (2**63, "more than 64 bits: .* pass it as a text|more than 64 bits, .* pass it as a text"),
        (10**5000, "more than 64 bits"),
        (Decimal("0.12345678901234567890"), "more digits than"),
        (Decimal("1E+999"), "more digits than"),
        (Decimal("NaN"), "not a finite number"),
        (Fraction(1, 3), "a Fraction"),
        (object(), "an object, which JSON cannot express: pass a text, a number"),
        (b"bytes", "a bytes.*value.decode"),
        (bytearray(b"bytes"), "a bytearray.*value.decode"),
        ({1, 2}, "a set.*has no order"),
        ((n for n in (1, 2)), "a generator"),
        (datetime(2026, 1, 1, tzinfo=UTC), "a datetime.*isoformat"),
        (date(2026, 1, 1), "a date.*isoformat"),
        (timedelta(1), "a timedelta.*total_seconds"),
        (Path("/a"), 'Path.*str\\(value\\), or for a file {"class": "File"'),
        (Sample("S1"), "a Sample.*dataclasses.asdict"),
        (Colour.RED, "a Colour.*value.value"),
        (Array(1, 2), "an Array.*value.tolist"),
        (Scalar("M", datetime(2026, 1, 1, tzinfo=UTC)), "a Scalar"),
        (1j, "a complex"),
        ({1: "a", "1": "b"}, "has the name 1 of the type int: names are texts"),
        ({("a",): 1}, "has the name of the type tuple"),
        ({"a\0": 1}, "the character NUL"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else None,
)
def test_a_value_that_would_be_changed_is_refused_with_its_place(
    world: World, create_run: CreateRun, value: object, said: str
) -> None:
    with pytest.raises(InvalidRequest, match=said) as caught:
        create_run(a_request(workflow_params={"reads": [{}, {"the path": value}]}))

    assert str(caught.value).startswith("workflow_params.reads[1]['the path']")
    assert world.store.runs == {}


def test_a_refusal_does_not_show_the_value(create_run: CreateRun) -> None:
    with pytest.raises(InvalidRequest) as caught:
        create_run(a_request(workflow_params={"password": "Geheim\0"}))

    assert "Geheim" not in str(caught.value)


def test_a_value_that_contains_itself_is_refused(create_run: CreateRun) -> None:
    with pytest.raises(InvalidRequest, match=r"workflow_params\.n\[1\]\.inner contains itself"):
        create_run(a_request(workflow_params=cyclic()))


def test_the_same_list_in_two_places_is_no_cycle(world: World, create_run: CreateRun) -> None:
    shared = [1]

    create_run(a_request(workflow_params={"a": shared, "b": [shared, shared]}))

    assert world.run().request.params == {"a": [1], "b": [[1], [1]]}


def test_nesting_has_a_limit_that_every_reader_keeps(create_run: CreateRun) -> None:
    create_run(a_request(workflow_params=nested(MAX_DEPTH)))

    with pytest.raises(InvalidRequest, match=f"workflow_params is nested deeper than {MAX_DEPTH} levels"):
        create_run(a_request(workflow_params=nested(MAX_DEPTH + 1)))
    with pytest.raises(InvalidRequest, match="nested deeper"):
        create_run(a_request(workflow_params=nested(100_000)))


@pytest.mark.parametrize(
    "name",
    ["workflow_url", "workflow_type", "workflow_type_version", "workflow_engine", "workflow_engine_version"],
)
@pytest.mark.parametrize(("value", "said"), [("a\0b", "NUL"), ("\udcff", "surrogate"), (Path("a"), "pass a text")])
def test_the_texts_of_a_request_are_texts_that_a_database_can_hold(
    world: World, create_run: CreateRun, name: str, value: object, said: str
) -> None:
    with pytest.raises(InvalidRequest, match=f"^{name} .*{said}"):
        create_run(a_request(**{name: value}))

    assert world.store.runs == {}


@pytest.mark.parametrize("member", ["workflow_params", "workflow_engine_parameters"])
def test_the_engines_parameters_are_named_as_the_inputs_are(create_run: CreateRun, member: str) -> None:
    with pytest.raises(InvalidRequest, match=rf"^{member}\.a is an object"):
        create_run(a_request(**{member: {"a": object()}}))


def test_tags_are_named_as_the_inputs_are(create_run: CreateRun) -> None:
    with pytest.raises(InvalidRequest, match=r"^tags\.a is an object"):
        create_run(a_request(), tags={"a": object()})
    with pytest.raises(InvalidRequest, match=r"^tags has the name 1"):
        create_run(a_request(), tags={1: "a"})  # type: ignore[dict-item]  # what a program may pass


@pytest.mark.parametrize(
    ("attachments", "said"),
    [
        ([("a", b"")], r"attachments\[0\] is a tuple: pass a wes_daemon.Attachment"),
        ([Attachment(name="a", content="x")], r"attachments\[0\].content is a str: pass bytes"),  # type: ignore[arg-type]
        ([Attachment(name="a\udcff", content=b"")], r"attachments\[0\].name contains half of a surrogate pair"),
        (
            [Attachment(name="a", content=b""), Attachment(name="./a", content=b"")],
            r"attachments\[1\].name is 'a', as is that of an earlier attachment: rename",
        ),
    ],
    ids=["no attachment", "text", "surrogate", "twice"],
)
def test_an_attachment_that_would_be_changed_is_refused(
    world: World, create_run: CreateRun, attachments: Any, said: str
) -> None:
    with pytest.raises(InvalidRequest, match=said):
        create_run(a_request(), attachments=attachments)

    assert world.store.runs == {}


def test_the_name_of_an_attachment_is_a_text() -> None:
    with pytest.raises(InvalidRequest, match="the name is a PosixPath: pass a text"):
        Attachment(name=Path("a"), content=b"")  # type: ignore[arg-type]  # what a program may pass


def test_numbers_of_numpy_are_kept_and_its_arrays_refused(world: World, create_run: CreateRun) -> None:
    numpy = pytest.importorskip("numpy", reason="numpy is not installed")
    values = [
        numpy.int64(7),
        numpy.uint8(7),
        numpy.float32(0.5),
        numpy.float64(0.1),
        numpy.bool_(True),
        numpy.str_("a"),
    ]

    create_run(a_request(workflow_params={"a": values}))

    found: Any = world.run().request.params["a"]
    assert [(value, type(value)) for value in found] == [
        *((7, int), (7, int), (0.5, float), (0.1, float), (True, bool), ("a", str))
    ]
    with pytest.raises(InvalidRequest, match=r"workflow_params\.a is a ndarray.*value\.tolist"):
        create_run(a_request(workflow_params={"a": numpy.arange(3)}))
