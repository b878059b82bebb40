"""A validator for OCSF events, built from the published schema's own files.

It knows classes with their ancestors, profiles, objects, the dictionary's types, enumerations with their
captions, requirements and constraints, and rejects every attribute that the schema does not have.
"""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

Json = Mapping[str, Any]

_PYTHON: Mapping[str, tuple[type, ...]] = {
    "string_t": (str,),
    "integer_t": (int,),
    "long_t": (int,),
    "boolean_t": (bool,),
    "float_t": (int, float),
    "timestamp_t": (int,),
}


class Schema:
    """The schema in a directory of dictionary, events, objects and profiles."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @cached_property
    def dictionary(self) -> Json:
        """Every attribute and every type."""
        return self._load("dictionary.json")

    @cached_property
    def classes(self) -> Mapping[str, Json]:
        """Every event definition by name."""
        found = (json.loads(path.read_bytes()) for path in (self._directory / "events").rglob("*.json"))
        return {definition["name"]: definition for definition in found}

    @cached_property
    def version(self) -> str:
        """The schema's version."""
        return str(self._load("version.json")["version"])

    def faults(self, event: Json) -> list[str]:
        """Everything in an event that the schema does not allow; empty for a valid one."""
        profiles = frozenset(event.get("metadata", {}).get("profiles", ()))
        chain = self._ancestry(self.classes, self._class_name(event))
        if unknown := profiles - set().union(*(definition.get("profiles", ()) for definition in chain)):
            return [f"profiles {unknown} do not belong to the class"]
        return [*self._uids(event, chain), *self._check_object(event, chain, profiles, "")]

    def _load(self, name: str) -> Json:
        loaded: Json = json.loads((self._directory / name).read_bytes())
        return loaded

    def _class_name(self, event: Json) -> str:
        categories = self._load("categories.json")["attributes"]
        for name, definition in self.classes.items():
            category = next(
                (d["category"] for d in self._ancestry(self.classes, name) if "category" in d), None
            )
            base = categories.get(category, {}).get("uid", 0) * 1000
            if "uid" in definition and base + definition["uid"] == event.get("class_uid"):
                return name
        raise AssertionError(f"no class {event.get('class_uid')}")

    def _uids(self, event: Json, chain: list[Json]) -> Iterator[str]:
        category = next(d["category"] for d in chain if "category" in d)
        expected = self._load("categories.json")["attributes"][category]
        if (event["category_uid"], event["category_name"]) != (expected["uid"], expected["caption"]):
            yield f"category {event['category_uid']} {event['category_name']}"
        if event["class_name"] != chain[0]["caption"]:
            yield f"class_name {event['class_name']}"
        if event["type_uid"] != event["class_uid"] * 100 + event["activity_id"]:
            yield f"type_uid {event['type_uid']}"
        if event["metadata"]["version"] != self.version:
            yield f"version {event['metadata']['version']}"

    def _ancestry(self, definitions: Mapping[str, Json], name: str) -> list[Json]:
        chain = [definitions[name]]
        while parent := chain[-1].get("extends"):
            chain.append(definitions[parent])
        return chain

    @cached_property
    def objects(self) -> Mapping[str, Json]:
        """Every object definition by name."""
        found = (json.loads(path.read_bytes()) for path in (self._directory / "objects").glob("*.json"))
        return {definition["name"]: definition for definition in found}

    def _attributes(self, chain: list[Json], profiles: frozenset[str]) -> dict[str, dict[str, Any]]:
        """Name to definition: the dictionary's, overlaid by the ancestors', the class's, its profiles'."""
        merged: dict[str, dict[str, Any]] = {}
        for definition in reversed(chain):
            own = dict(definition.get("attributes", {}))
            for include in own.pop("$include", ()):
                profile = self._load(include)
                for name, attribute in profile.get("attributes", {}).items():
                    if name not in own and profile["name"] in profiles:
                        self._merge(merged, name, profile.get("annotations", {}) | attribute)
            for name, attribute in own.items():
                if attribute.get("profile") in {None, *profiles}:
                    self._merge(merged, name, attribute)
        for name in ("category_uid", "class_uid"):  # their values come from the class itself: see `_uids`
            merged.get(name, {}).pop("enum", None)
        return merged

    def _merge(self, merged: dict[str, dict[str, Any]], name: str, attribute: Json) -> None:
        before = merged.get(name) or dict(self.dictionary["attributes"][name])
        enum = {**before.get("enum", {}), **attribute.get("enum", {})}
        merged[name] = {**before, **attribute, **({"enum": enum} if enum else {})}

    def _check_object(
        self, value: Json, chain: list[Json], profiles: frozenset[str], path: str
    ) -> Iterator[str]:
        attributes = self._attributes(chain, profiles)
        for name, attribute in attributes.items():
            if attribute.get("requirement") == "required" and name not in value:
                yield f"{path}{name} is required"
        for name, item in value.items():
            if name not in attributes:
                yield f"{path}{name} is not in the schema"
            else:
                yield from self._check(item, attributes[name], profiles, f"{path}{name}")
                yield from self._check_sibling(value, name, attributes[name], path)
        constraints: Json = next((d["constraints"] for d in chain if d.get("constraints")), {})
        if (names := constraints.get("at_least_one")) and not set(names) & set(value):
            yield f"{path or 'event'} has none of {names}"

    def _check(
        self,
        item: Any,  # noqa: ANN401 - whatever stands in the event
        attribute: Json,
        profiles: frozenset[str],
        path: str,
    ) -> Iterator[str]:
        if attribute.get("@deprecated"):
            yield f"{path} is deprecated"
        if attribute.get("is_array"):
            if not isinstance(item, list):
                yield f"{path} is no array"
                return
            for index, one in enumerate(item):
                yield from self._check(one, {**attribute, "is_array": False}, profiles, f"{path}[{index}]")
            return
        kind = attribute["type"]
        if kind == "object":
            yield from [] if isinstance(item, dict) else [f"{path} is no object"]
        elif kind in self.objects:
            yield from self._check_object(item, self._ancestry(self.objects, kind), profiles, f"{path}.")
        else:
            yield from self._check_scalar(item, kind, path)
        if "enum" in attribute and str(item) not in attribute["enum"]:
            yield f"{path} = {item} is not in its enumeration"

    def _check_scalar(
        self,
        item: Any,  # noqa: ANN401 - whatever stands in the event
        kind: str,
        path: str,
    ) -> Iterator[str]:
        definition = self.dictionary["types"]["attributes"][kind]
        base = definition.get("type", kind)
        if base == "json_t":
            return
        fits = isinstance(item, _PYTHON[base]) and (base == "boolean_t" or not isinstance(item, bool))
        if not fits:
            yield f"{path} = {item!r} is no {kind}"
            return
        if "regex" in definition and not re.search(definition["regex"], item):
            yield f"{path} = {item!r} does not look like {kind}"
        if "max_len" in definition and len(item) > definition["max_len"]:
            yield f"{path} is longer than {definition['max_len']}"
        if "range" in definition and not definition["range"][0] <= item <= definition["range"][1]:
            yield f"{path} = {item} is out of range"

    def _check_sibling(self, value: Json, name: str, attribute: Json, path: str) -> Iterator[str]:
        """The label beside a number is the number's caption, unless the number is 99."""
        sibling = attribute.get("sibling")
        if sibling is None or "enum" not in attribute or value[name] == 99 or sibling not in value:
            return
        caption = attribute["enum"].get(str(value[name]), {}).get("caption")
        if caption != value[sibling]:
            yield f"{path}{sibling} = {value[sibling]!r}, but {name} = {value[name]} is {caption!r}"
