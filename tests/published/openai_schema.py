"""OpenAI's published API description, as validators of single schemas."""

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator


class OpenAISchemas:
    """The description in that file."""

    def __init__(self, path: Path) -> None:
        self._document = _loosened(json.loads(path.read_text(encoding="utf-8")))
        self._validators: dict[str, Draft202012Validator] = {}

    def faults(self, name: str, value: object) -> list[str]:
        """Where a value is not of the schema of that name; empty if it is."""
        if name not in self._validators:
            wanted = {"$ref": f"#/components/schemas/{name}", "components": self._document["components"]}
            self._validators[name] = Draft202012Validator(wanted)
        errors = self._validators[name].iter_errors(value)
        return [f"{'/'.join(map(str, error.absolute_path))}: {error.message[:300]}" for error in errors]


def _loosened(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """As JSON Schema has it: `nullable` is OpenAPI 3.0's word for "or null".

    With `anyOf` for `oneOf`: alternatives overlap, and only OpenAPI's discriminator tells them apart.
    """
    if isinstance(value, list):
        return [_loosened(each) for each in value]
    if not isinstance(value, dict):
        return value
    told = {("anyOf" if name == "oneOf" else name): _loosened(each) for name, each in value.items()}
    return {"anyOf": [told, {"type": "null"}]} if value.get("nullable") is True else told
