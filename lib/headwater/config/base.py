"""Read YAML into frozen models and say precisely where a mistake is.

Every model forbids unknown keys. `${NAME}` and `${NAME:-default}` are replaced from the variables that the caller
hands in, so that this package reads no environment; secrets stay references until a connection is opened.
"""

import difflib
import re
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeAlias, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from headwater.errors import ConfigError

Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="A plain identifier.")]
CatalogName = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z_][\w]*(\.[A-Za-z_][\w]*){1,2}$",
        description="`schema.table` or `catalog.schema.table`, under which the session's catalog registers the table.",
    ),
]
JsonValue: TypeAlias = "bool | int | float | str | Sequence[JsonValue] | Mapping[str, JsonValue] | None"
SecretRef = Annotated[
    str,
    Field(pattern=r"^(env|file):.+$", description="Where a secret is: `env:NAME` or `file:PATH`, never the secret."),
]

_VARIABLE = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}")
_SECRET_KEYS = ("password", "secret", "token", "uri", "key")


# The C parser, where PyYAML was built with it, is ten times faster: every job reads all of conf/ before it starts.
class _OnceEach(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """PyYAML's safe loader, except that a key written twice is a mistake instead of the last one winning."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002
        keys = [key for key, _ in node.value]
        for number, key in enumerate(keys):
            if any(key.value == earlier.value for earlier in keys[:number]):
                problem = f"the key {key.value!r} stands twice in one mapping"
                raise yaml.constructor.ConstructorError(problem=problem, problem_mark=key.start_mark)
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep=deep)
        return mapping


class Spec(BaseModel):
    """Base of every model under `conf/`: immutable and closed."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


SpecType = TypeVar("SpecType", bound=Spec)


def read_spec(path: Path, model: type[SpecType], variables: Mapping[str, str]) -> SpecType:
    """Read one YAML file into `model`.

    Raises:
        ConfigError: the file is missing or not YAML, a variable is unset, or a value does not fit.
    """
    return parse_spec(read_yaml(path), model, path, variables)


def parse_spec(document: object, model: type[SpecType], path: Path, variables: Mapping[str, str]) -> SpecType:
    """Build `model` from a parsed document; every mistake is reported at once with its YAML path."""
    try:
        return model.model_validate(_interpolate(document, variables, path, ()))
    except ValidationError as error:
        details = error.errors()
        lines = [_explain(detail, model, path, document) for detail in details]
        raise ConfigError(
            "invalid_config",
            "\n".join(lines),
            remedy="All keys and their values: docs/configuration.md.",
            facts={"file": str(path), "paths": [_yaml_path(_written(detail["loc"], document)) for detail in details]},
        ) from None


def read_yaml(path: Path) -> object:
    """Parse a YAML file.

    Raises:
        ConfigError: the file is missing or is not YAML.
    """
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_OnceEach)  # noqa: S506 - derived from a safe one
    except FileNotFoundError:
        known = sorted(other.stem for other in path.parent.glob("*.yaml")) if path.parent.is_dir() else []
        raise ConfigError(
            "missing_file",
            f"{path}: no such file.",
            remedy=f"Found in that folder: {', '.join(known) or 'nothing'}.",
            facts={"file": str(path), "known": known},
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            "invalid_yaml",
            f"{path}: not UTF-8 text: {error}.",
            remedy="Save the file as UTF-8.",
            facts={"file": str(path)},
        ) from None
    except yaml.YAMLError as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None) or str(error)
        line = mark.line + 1 if mark else None
        at = f"{path}, line {line}" if line else f"{path}"
        facts: dict[str, JsonValue] = {"file": str(path), "line": line}
        remedy = "Correct that line; what looks special may need quotes."
        raise ConfigError("invalid_yaml", f"{at}: not valid YAML: {problem}.", remedy=remedy, facts=facts) from None


def nearest(word: str, choices: list[str]) -> str:
    """Name the closest choice, for error messages: ` (nearest: x)` or nothing."""
    close = difflib.get_close_matches(word, choices, n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def _interpolate(node: object, variables: Mapping[str, str], path: Path, at: tuple[str | int, ...]) -> object:
    match node:
        case str():
            return _VARIABLE.sub(lambda found: _resolve(found, variables, path, at), node)
        case dict():
            return {key: _interpolate(value, variables, path, (*at, str(key))) for key, value in node.items()}
        case list():
            return [_interpolate(value, variables, path, (*at, index)) for index, value in enumerate(node)]
        case _:
            return node


def _resolve(found: re.Match[str], variables: Mapping[str, str], path: Path, at: tuple[str | int, ...]) -> str:
    name, default = found["name"], found["default"]
    value = variables.get(name, default)
    if value is None:
        raise ConfigError(
            "missing_variable",
            f"{path}: {_yaml_path(at)} needs the environment variable {name}, which is not set.",
            remedy=f"Export {name}, or write a default as ${{{name}:-value}}.",
            facts={"file": str(path), "path": _yaml_path(at), "variable": name},
        )
    return value


def _yaml_path(location: tuple[str | int, ...]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.lstrip(".") or "(top level)"


def _written(location: tuple[str | int, ...], document: object) -> tuple[str | int, ...]:
    """The path as it stands in the file: without the tags by which pydantic names the variant of a union."""
    found: list[str | int] = []
    node = document
    for part in location:
        is_item = isinstance(node, list) and isinstance(part, int) and part < len(node)
        if is_item or (isinstance(node, dict) and part in node):
            node = node[part]  # type: ignore[index]
        elif isinstance(node, dict) and part == node.get("kind"):
            continue
        found.append(part)
    return tuple(found)


def _explain(detail: ErrorDetails, model: type[Spec], path: Path, document: object) -> str:
    where = _yaml_path(_written(detail["loc"], document))
    last = str(detail["loc"][-1]) if detail["loc"] else ""
    if detail["type"] == "extra_forbidden":
        return f"{path}: {where}: unknown key {last!r}.{nearest(last, _known_keys(model))}"
    if detail["type"] == "missing":
        return f"{path}: {where}: required, but not given."
    shown = "(hidden)" if any(word in last.lower() for word in _SECRET_KEYS) else repr(detail["input"])[:80]
    return f"{path}: {where}: {detail['msg']} (found {shown})."


def _known_keys(model: type[BaseModel]) -> list[str]:
    """Every key that appears in a model or in the models under it, for the nearest-match hint."""
    keys: dict[str, None] = {}
    schema = model.model_json_schema()
    for part in (schema, *schema.get("$defs", {}).values()):
        keys.update(dict.fromkeys(part.get("properties", {})))
    return list(keys)
