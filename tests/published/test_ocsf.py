"""The OCSF export, validated against the published schema. Run by `make check-published DATA=directory`."""

import copy
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.audit.formats.records import AWKWARD, awkward, every_kind
from tests.published.ocsf_schema import Schema

from tristar.audit.formats import ocsf
from tristar.audit.formats.fields import Fields


@pytest.fixture(scope="module")
def schema() -> Schema:
    """The schema that PUBLISHED_DATA names."""
    return Schema(Path(os.environ["PUBLISHED_DATA"]) / "ocsf")


def event(record: Fields) -> dict[str, Any]:
    """The record as an OCSF event."""
    decoded: dict[str, Any] = json.loads(ocsf.render(record))
    return decoded


@pytest.mark.parametrize("name", every_kind())
def test_every_kind_of_record_is_a_valid_event(schema: Schema, name: str) -> None:
    """Classes 6003, 3002 and 3004, each with its profiles."""
    assert schema.faults(event(every_kind()[name])) == []


@pytest.mark.parametrize("text", AWKWARD)
def test_awkward_text_is_a_valid_event(schema: Schema, text: str) -> None:
    """Whatever stands in the free texts."""
    assert schema.faults(event(awkward(text))) == []


def _drop(name: str) -> Callable[[dict[str, Any]], object]:
    return lambda event: event.pop(name)


SPOILT: dict[str, Callable[[dict[str, Any]], object]] = {
    "required attribute missing": _drop("src_endpoint"),
    "required object attribute missing": lambda event: event["api"].pop("operation"),
    "unknown attribute": lambda event: event.update(surprise=1),
    "unknown object attribute": lambda event: event["actor"].update(surprise=1),
    "attribute of a profile not declared": lambda event: event["metadata"].update(profiles=[]),
    "profile of another class": lambda event: event["metadata"].update(profiles=["load_balancer"]),
    "wrong type": lambda event: event.update(time="now"),
    "number for text": lambda event: event["api"].update(operation=1),
    "value not in its enumeration": lambda event: event.update(severity_id=77),
    "label of another value": lambda event: event.update(severity="Fatal"),
    "address that is none": lambda event: event["src_endpoint"].update(ip="nowhere"),
    "constraint broken": lambda event: event.update(src_endpoint={"port": 1}),
    "type_uid of another class": lambda event: event.update(type_uid=300201),
    "array expected": lambda event: event.update(resources={"name": "x"}),
    "required model name missing": lambda event: event["ai_model"].pop("name"),
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT.keys())
def test_validator_finds_what_is_wrong(schema: Schema, spoil: Callable[[dict[str, Any]], object]) -> None:
    """A check that cannot fail is none."""
    good = event(every_kind()["success"])
    bad = copy.deepcopy(good)
    spoil(bad)

    assert schema.faults(good) == []
    assert len(schema.faults(bad)) >= 1
