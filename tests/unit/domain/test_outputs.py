"""What of a run's outputs fits into a tag."""

import json

from hypothesis import given
from hypothesis import strategies as st

from wes_daemon.domain.outputs import CUT_MARK, OUTPUTS_LIMIT, outputs_for_tag

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def test_outputs_that_fit_are_all_there() -> None:
    outputs = {"bam": {"class": "File", "location": "s3://results/S1.bam"}, "count": 7}

    assert outputs_for_tag(outputs) == outputs


def test_a_mark_stands_for_an_output_that_is_too_long_and_the_others_stay() -> None:
    outputs = {"before": 1, "parts": ["x" * 100] * 1_000, "after": 2}

    found = outputs_for_tag(outputs)

    note = "2 of 3 outputs; `wes-daemon show` prints all of them"
    assert found == {"before": 1, "parts": CUT_MARK, "after": 2, CUT_MARK: note}


def test_names_that_do_not_fit_are_counted() -> None:
    outputs = {f"output-{n:05}": n for n in range(20_000)}

    found = outputs_for_tag(outputs)

    assert len(json.dumps(found)) <= OUTPUTS_LIMIT
    assert str(found[CUT_MARK]).startswith(f"{len(found) - 1} of 20000 outputs")


@given(outputs=st.dictionaries(st.text(), VALUES, max_size=20), limit=st.integers(200, 2_000))
def test_the_tag_is_never_longer_than_the_limit_and_holds_nothing_by_halves(
    outputs: dict[str, object], limit: int
) -> None:
    found = outputs_for_tag(outputs, limit=limit)

    text = json.dumps(found)
    assert len(text) <= limit
    assert json.loads(text) == found
    assert all(value in (outputs[name], CUT_MARK) for name, value in found.items() if name != CUT_MARK)
