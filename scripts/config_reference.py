#!/usr/bin/env python3.11
"""Writes docs/configuration.md and docs/schemas/*.json from the models that read `conf/`; `make reference` runs it."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from headwater.config.base import Spec
from headwater.config.features import FeatureView
from headwater.config.project import EnvironmentSpec, ProjectSpec
from headwater.config.quality import CheckSuite
from headwater.config.sources import SourceFile
from headwater.config.tables import TableContract
from headwater.config.training import TrainingSet

_ROOT = Path(__file__).resolve().parents[1]
_FILES: Mapping[str, tuple[str, type[Spec]]] = {
    "project": ("conf/project.yaml", ProjectSpec),
    "env": ("conf/env/NAME.yaml", EnvironmentSpec),
    "source": ("conf/sources/NAME.yaml", SourceFile),
    "table": ("conf/tables/NAME.yaml", TableContract),
    "features": ("conf/features/NAME.yaml", FeatureView),
    "checks": ("conf/checks/NAME.yaml", CheckSuite),
    "training": ("conf/training/NAME.yaml", TrainingSet),
}
_IDENTIFIER, _SECRET = r"^[A-Za-z_][A-Za-z0-9_]*$", r"^(env|file):.+$"
_VARIABLE = {"type": "string", "pattern": r"\$\{[A-Za-z_]", "description": "`${NAME}` or `${NAME:-default}`."}
_LEAVES = ("string", "integer", "number", "boolean")
_INTRODUCTION = """\
# Configuration

Every key that a file under `conf/` can have. This page and the schemas are written by `make reference` from the models
that read the files (`lib/headwater/config`); change those, never this page.

Unknown keys are refused, and so is a key that stands twice. In every value `${NAME}` stands for the environment
variable of that name, and `${NAME:-default}` for the default where it is not set. A *name* is made of letters, digits
and underscores and does not begin with a digit; a *secret* is written as `env:NAME` or `file:PATH`. Columns, tables,
sources and connections that a file refers to have to exist: what `conf/` itself can tell is checked for all files
together, before anything runs; columns of a source or of labels when they are first looked at.

An editor with the YAML language server completes and checks a file whose first line names its schema, here for a file
in `conf/sources`:

```yaml
# yaml-language-server: $schema=../../docs/schemas/source.json
```

| file | schema |
|---|---|
"""

Schema = dict[str, Any]


class _Plain(GenerateJsonSchema):
    """Without titles that only repeat the keys."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ANN401, ARG002 - pydantic's signature
        return False


def main() -> int:
    """Write the files; returns the exit code."""
    for path, text in reference().items():
        (_ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (_ROOT / path).write_text(text, encoding="utf-8")
    return 0


def reference() -> dict[str, str]:
    """Give every generated file by its path in the repository."""
    schemas = {kind: model.model_json_schema(schema_generator=_Plain) for kind, (_, model) in _FILES.items()}
    listed = "".join(f"| [`{_FILES[kind][0]}`](#{_anchor(kind)}) | `docs/schemas/{kind}.json` |\n" for kind in schemas)
    sections = "".join(line for kind, schema in schemas.items() for line in _file_section(kind, schema))
    texts = {"docs/configuration.md": _INTRODUCTION + listed + sections}
    for kind, schema in schemas.items():
        body = {"$schema": "https://json-schema.org/draft/2020-12/schema", **_with_variables(schema)}
        texts[f"docs/schemas/{kind}.json"] = json.dumps(body, indent=2) + "\n"
    return texts


def _file_section(kind: str, schema: Schema) -> Iterator[str]:
    yield f"\n## {_FILES[kind][0]}\n"
    yield from _model(schema)
    for name, model in schema.get("$defs", {}).items():
        yield f"\n### {name}\n"
        yield from _model(model)


def _model(schema: Schema) -> Iterator[str]:
    yield f"\n{schema['description']}\n\n| key | type | default | |\n|---|---|---|---|\n"
    required = schema.get("required", ())
    for key, field in sorted(schema["properties"].items(), key=lambda item: not _is_tag(*item)):
        if _is_tag(key, field):
            yield f"| `{key}` | `{field['const']}` | required | Says which of the variants this is. |\n"
        else:
            default = "required" if key in required else _default(field)
            yield f"| `{key}` | {_type(field)} | {default} | {_about(field)} |\n"


def _is_tag(key: str, field: Schema) -> bool:
    """A constant that tells the variants of a union apart has to be written, whatever its model's default."""
    return key == "kind" and "const" in field


def _about(field: Schema) -> str:
    return " ".join(str(field.get("description", "")).split()).replace("|", "\\|")


def _default(field: Schema) -> str:
    match field.get("default", ()):
        case None:
            return "none"
        case "" | () | [] as empty if not empty:
            return "empty"
        case bool() | str() | int() | float() as value:
            return f"`{value if isinstance(value, str) else json.dumps(value)}`"
        case _:
            return "as there"


def _type(field: Schema) -> str:
    match field:
        case {"$ref": str(reference)}:
            name = reference.rpartition("/")[2]
            return f"[{name}](#{name.lower()})"
        case {"anyOf": parts} | {"oneOf": parts}:
            return " or ".join(_type(part) for part in parts if part != {"type": "null"})
        case {"enum": values}:
            return ", ".join(f"`{value}`" for value in values)
        case {"type": "array" | "object"}:
            return _container(field)
        case _:
            return _leaf(field)


def _container(field: Schema) -> str:
    match field:
        case {"items": items}:
            return f"list of {_type(items)}"
        case {"patternProperties": dict(named)}:
            return f"map of name to {_type(next(iter(named.values())))}"
        case _:
            return f"map to {_type(field['additionalProperties'])}"


def _leaf(field: Schema) -> str:
    if "const" in field:
        return f"`{field['const']}`"
    if field.get("pattern") in (_IDENTIFIER, _SECRET):
        return "name" if field["pattern"] == _IDENTIFIER else "secret"
    words = "instant" if field.get("format") == "date-time" else str(field["type"])
    bounds = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most"}
    limits = [f"{word} {field[key]:g}" for key, word in bounds.items() if key in field]
    return ", ".join([words, *limits])


def _with_variables(node: Any) -> Any:  # noqa: ANN401 - any part of a schema
    """Let `${NAME}` stand wherever a value of a form of its own is asked for; what a `kind` is stays written out."""
    if isinstance(node, Sequence) and not isinstance(node, str):
        return [_with_variables(each) for each in node]
    if not isinstance(node, dict):
        return node
    has_form = node.keys() & {"pattern", "format", "enum"} or node.get("type") != "string"
    if node.get("type") in _LEAVES and has_form and "const" not in node:
        about = {key: node[key] for key in ("description", "default") if key in node}
        form = {key: value for key, value in node.items() if key not in about}
        return {"anyOf": [form, _VARIABLE], **about}
    kept = {"default", "discriminator", "required", "enum", "propertyNames"}
    return {key: value if key in kept else _with_variables(value) for key, value in node.items()}


def _anchor(kind: str) -> str:
    return "".join(letter for letter in _FILES[kind][0].lower() if letter.isalnum())


if __name__ == "__main__":
    sys.exit(main())
