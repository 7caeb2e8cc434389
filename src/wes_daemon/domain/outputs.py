"""The outputs of a run as one of its tags, for WES services that have no column for them."""

import json
from collections.abc import Mapping

OUTPUTS_LIMIT = 65_536
"""The maximum length of the tag, in bytes of JSON."""

CUT_MARK = "…"
"""Stands for an output that was left out, and names the member that says how many were."""

_NOTE_LENGTH = 200


def outputs_for_tag(outputs: Mapping[str, object], *, limit: int = OUTPUTS_LIMIT) -> Mapping[str, object]:
    """Return the outputs, or as many of them as fit into `limit` bytes of JSON.

    In place of an output that does not fit there is a mark, and the member `…` says how many were left out.
    """
    if _length(outputs) <= limit:
        return outputs
    fitting: dict[str, object] = {}
    left, complete = limit - _NOTE_LENGTH, 0
    for name, value in outputs.items():
        fits = _length({name: value}) <= left
        member = {name: value if fits else CUT_MARK}
        if (length := _length(member)) <= left:
            fitting.update(member)
            left -= length
            complete += fits
    return {**fitting, CUT_MARK: f"{complete} of {len(outputs)} outputs; `wes-daemon show` prints all of them"}


def _length(value: object) -> int:
    """The length of the JSON text. Letters outside ASCII are escaped in it, so that UTF-8 needs no more bytes."""
    return len(json.dumps(value, default=str))
