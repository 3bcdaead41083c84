"""JSON Schemas of both files, for editors: from the same model that `loader` checks them with.

A schema knows one place at a time. What several keys say together (`contradictions`), and whether an experiment fits a
topology, only the loader checks.

Draft 7, because that is what editors know best.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from harness.core.attach import AttachFile
from harness.core.experiment import Experiment, Target
from harness.core.rules import FaultRules, Peer
from harness.core.topology import Topology
from harness.core.words import Role
from harness.spec.docstrings import class_doc, field_docs
from harness.spec.targets import pattern

__all__ = ["attach_schema", "experiment_schema", "topology_schema"]

#: See `Target.WORDS`.
_PEER_ONLY: Final = "cluster"
_DIALECT: Final = "http://json-schema.org/draft-07/schema#"


class _Generator(GenerateJsonSchema):
    """Pydantic's, with the model's own words on every field, and a choice by `product` that editors understand."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - "Check Fall" says no more than check_fall
        return False

    def dataclass_schema(self, schema: core_schema.DataclassSchema) -> JsonSchemaValue:
        found = super().dataclass_schema(schema)
        found.pop("title", None)
        found["description"] = class_doc(schema["cls"])
        for field, text in field_docs(schema["cls"]).items():
            found["properties"][field.rstrip("_")]["description"] = text
        return found

    def tagged_union_schema(self, schema: core_schema.TaggedUnionSchema) -> JsonSchemaValue:
        """See `ByProduct`: the class with that product, the first where there is none.

        `oneOf` would accept the keys of one product for another, and nothing at all for an empty mapping.
        """
        choices: dict[str, CoreSchema] = {str(word): choice for word, choice in schema["choices"].items()}
        first, *others = choices
        chosen = self.generate_inner(choices[first])
        for word in reversed(others):
            says_so = {"properties": {"product": {"const": word}}, "required": ["product"]}
            chosen = {"if": says_so, "then": self.generate_inner(choices[word]), "else": chosen}
        product = {"enum": list(choices), "default": first, "description": "Which product fills the role."}
        return {"type": "object", "properties": {"product": product}, **chosen}


def topology_schema() -> dict[str, Any]:
    """Of `topologies/*.yaml`."""
    whole = _of(Topology, "A topology of the workbench chaos harness")
    for role in Role:
        # A role that is not there is left out; null is no way to say so.
        described = whole["properties"][role]
        if "anyOf" in described:
            del described["default"]
            whole["properties"][role] = {**described.pop("anyOf")[0], **described}
    return whole


def attach_schema() -> dict[str, Any]:
    """Of files of existing systems, which lie among the topologies."""
    return _of(AttachFile, "An existing system of the workbench chaos harness")


def experiment_schema(rules: Mapping[str, FaultRules], summaries: Mapping[str, str]) -> dict[str, Any]:
    """Of `experiments/*.yaml`; `rules` and `summaries` are of every kind of fault."""
    whole = _of(Experiment, "An experiment of the workbench chaos harness")
    fault = whole["$defs"]["Fault"]
    kinds = {"type": "string", "enum": list(rules), "enumDescriptions": [summaries[kind] for kind in rules]}
    fault["properties"]["fault"] |= kinds
    fault["properties"]["target"] |= _targets(list(Role))
    fault["properties"]["peer"] |= {"pattern": f"^$|{pattern(Target.WORDS)}"}
    fault["allOf"] = [
        {
            "if": {"properties": {"fault": {"const": kind}}, "required": ["fault"]},
            "then": _one_kind(rules_, summaries[kind]),
        }
        for kind, rules_ in rules.items()
    ]
    return whole


def _of(model: type, title: str) -> dict[str, Any]:
    found = TypeAdapter(model).json_schema(schema_generator=_Generator)
    del found["properties"]["name"]  # it follows from the file's name
    for definition in found["$defs"].values():
        definition.pop("title", None)
    return {"$schema": _DIALECT, "title": title, **found}


def _one_kind(rules: FaultRules, summary: str) -> dict[str, Any]:
    """What may stand beside one kind of fault."""
    options = TypeAdapter(rules.options).json_schema(schema_generator=_Generator)
    properties: dict[str, Any] = {"options": options}
    required = ["options"] if options.get("required") else []
    if rules.roles:
        properties["target"] = _targets(rules.roles)
    if rules.peer is Peer.NONE:
        properties["peer"] = {"const": "", "description": "None: this fault has one side only."}
    if rules.peer is Peer.REQUIRED:
        properties["peer"] = {"minLength": 1}
        required.append("peer")
    return {"description": summary, "properties": properties, **({"required": required} if required else {})}


def _targets(roles: Collection[Role]) -> dict[str, Any]:
    words = {role: [word for word in Target.WORDS[role] if word != _PEER_ONLY] for role in Role if role in roles}
    examples = [f"{role}[{word}]" for role, own in words.items() for word in (*own, "*", "0")]
    return {"pattern": pattern(words), "examples": examples}
