"""What all settings share: the base of each group, and types of values."""

import re
from collections.abc import Iterator
from enum import StrEnum
from ipaddress import ip_address
from typing import Annotated, Any, Self

from pydantic import AliasChoices, Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

LOCALHOST = "127.0.0.1"
ENVIRONMENT_NAMES = ("ENVIRONMENT", "NODE_ENV")  # the first one that is set wins

Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]


class Environment(StrEnum):
    DEVELOPMENT = "development"
    TEST = "test"
    STAGING = "staging"
    PRODUCTION = "production"

    @property
    def is_deployed(self) -> bool:
        """Whether others depend on it, so that nothing in it may be open to everyone."""
        return self in {Environment.STAGING, Environment.PRODUCTION}


class SettingsGroup(BaseSettings):
    """Base of the groups; the name of a variable is the field's name in capitals."""

    model_config = SettingsConfigDict(
        case_sensitive=False,
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        populate_by_name=True,
        hide_input_in_errors=True,
    )

    environment: Environment = Field(
        Environment.DEVELOPMENT, validation_alias=AliasChoices(*ENVIRONMENT_NAMES)
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if broken := list(self.broken_rules()):
            raise ValueError("\n".join(broken))
        return self

    def broken_rules(self) -> Iterator[str]:
        """One line for each broken rule about several settings; a line begins with their names.

        A group yields its own lines and then those of `super()`, so that a start that is refused
        names all of them at once.
        """
        yield from ()

    def missing_in_production(self, name: str, value: Any) -> Iterator[str]:
        """A line if the setting is not set and this is production."""
        if self.environment is Environment.PRODUCTION and value is None:
            yield f"{name}: must be set when ENVIRONMENT=production"


def comma_separated(value: str) -> tuple[str, ...]:
    """The parts of a list that is separated by commas, without empty ones."""
    return tuple(filter(None, re.split(r"\s*,\s*", value.strip())))


def is_loopback(host: str) -> bool:
    """Whether a host is this machine: `localhost`, or an address that only it has."""
    host = host.strip("[]").lower()
    if host == "localhost" or host.endswith(".localhost"):  # RFC 6761, 6.3
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
