"""The JSON Schema of a bench file, for editors."""

from __future__ import annotations

from typing import Any

from testbed.inventory.model import Bench

__all__ = ["schema"]


def schema() -> dict[str, Any]:
    """The schema (JSON Schema 2020-12), with a description for every key.

    It says what an editor can say: keys, types, forms. What must agree between two places, and what
    a lab of one kind needs and another refuses, is said by the loader alone.
    """
    found = Bench.model_json_schema()
    forms = found["$defs"]
    mapping = forms["Cable"]
    pair = {**mapping["properties"]["ends"], "title": "Two ends"}
    forms["Cable"] = {
        "description": mapping["description"],
        "anyOf": [pair, {key: mapping[key] for key in mapping if key != "description"}],
    }
    forms["Secret"] |= {"minProperties": 1, "maxProperties": 1}
    for form in (found, *forms.values()):
        for kind in form.get("properties", {}).values():
            if "patternProperties" in kind:
                # A name of another form is refused; JSON Schema would let it pass unread.
                kind["additionalProperties"] = False
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}
