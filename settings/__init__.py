"""The settings of all processes, typed and validated at start.

Each module has one group; `Settings` has all of them, with one field for each environment variable.
`load_settings` reads them, or raises `SettingsError`. The SDKs of Temporal and OpenTelemetry read
their own variables, so that their documentation applies: `TEMPORAL_ADDRESS`, `TEMPORAL_NAMESPACE`,
`TEMPORAL_API_KEY`, `TEMPORAL_TLS…`, `TEMPORAL_PROFILE`, and all of `OTEL_…` except the endpoint.

Only composition roots (`api`, `cli`, `inventory`, `worker.py`, `consumer.py`) call `load_settings`.
They pass settings to everything else. Imports nothing of ours.
"""

import os
from pathlib import Path
from typing import Annotated

from dotenv import load_dotenv
from pydantic import AfterValidator, ValidationError

from settings.auth import SAMPLE_JWT_SECRET, JwtAlgorithm
from settings.base import ENVIRONMENT_NAMES, LOCALHOST, Environment
from settings.cart import CartSettings
from settings.data import SAMPLE_DATA_SECRET, DataSettings
from settings.safety import SafetySettings
from settings.server import LogLevel
from settings.storefront import StorefrontSettings
from settings.tls import TlsSettings

__all__ = [
    "LOCALHOST",
    "SAMPLE_DATA_SECRET",
    "SAMPLE_JWT_SECRET",
    "Environment",
    "JwtAlgorithm",
    "LogLevel",
    "Settings",
    "SettingsError",
    "load_settings",
]


_OF_SDKS = ("TEMPORAL_", "OTEL_")


class SettingsError(Exception):
    """One or more environment variables are invalid; the text has one line for each."""


def _with_home(folder: Path) -> Path:
    try:
        return folder.expanduser()
    except RuntimeError:
        raise ValueError("has ~, and this user has no home") from None


class Settings(SafetySettings, DataSettings, TlsSettings, StorefrontSettings, CartSettings):
    """All settings of the service."""

    # Local stack
    local_dir: Annotated[Path, AfterValidator(_with_home)] = Path(".local")


def load_settings() -> Settings:
    """Reads `.env` (or the file that `CART_ENV_FILE` names); the environment takes precedence.

    White space around a value does not count: a secret made from a file ends in a newline.
    Raises `SettingsError` with one line for each invalid variable.
    """
    env_file = os.environ.get("CART_ENV_FILE", ".env")
    if env_file:
        # Loaded into the environment because Temporal's SDK reads its variables from there.
        try:
            load_dotenv(env_file, override=False)
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"CART_ENV_FILE={env_file!r}: cannot be read: {error}") from None
    for name, value in os.environ.items():
        is_ours = name.lower() in Settings.model_fields or name in ENVIRONMENT_NAMES
        if is_ours or name.startswith(_OF_SDKS):
            os.environ[name] = value.strip()
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsError(_explain(error)) from None


_URL_RULES = dict.fromkeys(("url_parsing", "url_scheme"), "must be an http or https URL")


def _explain(error: ValidationError) -> str:
    """One line for each variable: its name, its value unless that is a secret, and the rule."""
    values = {name.upper(): value for name, value in os.environ.items()}
    lines = []
    for item in error.errors():
        message = _URL_RULES.get(item["type"], item["msg"]).removeprefix("Value error, ")
        if not item["loc"]:  # a rule about several variables names them in its text
            lines.append(message)
            continue
        name = str(item["loc"][0]).upper()
        field = Settings.model_fields.get(name.lower())
        if field is not None and "SecretStr" not in str(field.annotation):
            names = ENVIRONMENT_NAMES if name in ENVIRONMENT_NAMES else (name,)
            name += f"={next((values[one] for one in names if values.get(one)), '')!r}"
        lines.append(f"{name}: {message[0].lower()}{message[1:]}")
    return "\n".join(lines)
