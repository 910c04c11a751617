"""A run as JSON, kept beside the report, and back."""

from __future__ import annotations

import json
from functools import cache

from pydantic import TypeAdapter, ValidationError

from testbed.errors import UsageError
from testbed.report.records import RunRecord

__all__ = ["FORMAT", "from_json", "to_json"]

FORMAT = "testbed-run/1"
"""Names the layout of the file; another layout gets another number."""


@cache
def _adapter() -> TypeAdapter[RunRecord]:
    return TypeAdapter(RunRecord)


def to_json(run: RunRecord) -> str:
    """``run`` as JSON text in plain ASCII, so that undecodable bytes of devices survive too."""
    plain = _adapter().dump_python(run)
    return json.dumps({"format": FORMAT, "run": plain}, separators=(",", ":")) + "\n"


def from_json(text: str) -> RunRecord:
    """The run that ``to_json`` wrote; UsageError says what is wrong with any other text."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"not a run of testbed: no JSON: {error}") from error
    found = document.get("format") if isinstance(document, dict) else None
    if found != FORMAT:
        raise UsageError(f"not a run of testbed: format is {found!r}, expected {FORMAT!r}")
    try:
        return _adapter().validate_python(document.get("run"))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"not a run of testbed: {where}: {first['msg']}") from error
