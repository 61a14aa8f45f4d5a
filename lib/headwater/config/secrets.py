"""Turn a secret's reference into the secret, at the moment a connection is opened and not before."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import SecretStr

from headwater.errors import ConfigError


def resolve_secret(reference: str, variables: Mapping[str, str], *, used_by: str) -> SecretStr:
    """Look up `env:NAME` among `variables` or read `file:PATH`.

    Args:
        reference: where the secret is.
        variables: the process environment, handed in by whoever may read it.
        used_by: YAML path of the setting, for the error message.

    Raises:
        ConfigError: the variable is unset or the file cannot be read.
    """
    scheme, _, name = reference.partition(":")
    if scheme == "env":
        if name in variables:
            return SecretStr(variables[name])
        raise ConfigError(
            "missing_secret",
            f"{used_by} refers to the environment variable {name}, which is not set.",
            remedy=f"Export {name}.",
            facts={"path": used_by, "variable": name},
        )
    try:
        return SecretStr(Path(name).read_text(encoding="utf-8").strip())
    except OSError as error:
        raise ConfigError(
            "missing_secret",
            f"{used_by} refers to the file {name}, which cannot be read: {error.strerror}.",
            remedy="Create the file or correct the reference.",
            facts={"path": used_by, "file": name},
        ) from None
