"""docs/settings.md: names, defaults and allowed values from `Settings`; groups and meanings from
the comments of .env.example.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from settings import Settings

INTRODUCTION = """\
# Settings

<!-- Written by `python -m dev.reference` from the settings models and .env.example. -->

Environment variables, or a file `.env` (`cp .env.example .env`); `CART_ENV_FILE` names another
file. The environment wins over the file. White space around a value does not count. A value that
cannot be used stops the start with the name, the value and what is allowed. Setting an address
replaces that part of the local stack. Durations are in seconds where the name does not say another
unit.

[deploy.md](deploy.md#settings-that-matter) says which ones a cluster needs to decide.
"""
_SECTION = re.compile(r"^# --- (?P<title>[^.]+)\.?\s*(?P<text>.*)$")
_ENTRY = re.compile(r"^(?P<off># )?(?P<name>[A-Z][A-Z0-9_]+)=(?P<rest>.*)$")
_MEANING = re.compile(r"\s+#\s+(?P<meaning>.+)$")
# Repeats what is allowed, for readers of .env.example.
_CHOICES = re.compile(r"^[\w-]+(?: \(\w+\))?(?: \| [\w-]+)+(?:; )?")
_BOUNDS = {"ge": "≥ {}", "gt": "> {}", "le": "≤ {}", "lt": "< {}"}


@dataclass
class Entry:
    """A variable of .env.example; `example` is its value there."""

    name: str
    example: str
    meaning: str


@dataclass
class Section:
    title: str
    text: list[str]
    entries: list[Entry] = field(default_factory=list)


def sections(example: str) -> list[Section]:
    """The groups of .env.example. Comments between entries belong to the group."""
    found: list[Section] = []
    for line in example.splitlines():
        if heading := _SECTION.match(line):
            found.append(Section(heading["title"], [heading["text"]]))
        elif not found:
            continue
        elif entry := _ENTRY.match(line):
            meaning = _MEANING.search(entry["rest"])
            value = _MEANING.sub("", entry["rest"]).strip()
            found[-1].entries.append(
                Entry(entry["name"], value, meaning["meaning"] if meaning else "")
            )
        elif line.startswith("# "):
            found[-1].text.append(line[2:])
    return found


def page(root: Path) -> str:
    parts = [INTRODUCTION]
    for section in sections((root / ".env.example").read_text()):
        text = " ".join(filter(None, section.text)).strip()
        parts.append(f"## {section.title}\n")
        if text:
            ended = text if text.endswith((".", ")")) else f"{text}."
            parts.append(f"{ended[0].upper()}{ended[1:]}\n")
        parts.append("| setting | default | allowed | meaning |\n|---|---|---|---|")
        parts.append("\n".join(_row(entry) for entry in section.entries) + "\n")
    return "\n".join(parts)


def _row(entry: Entry) -> str:
    known = Settings.model_fields.get(entry.name.lower())
    default, allowed = _facts(known) if known else ("", "")
    cells = (
        f"`{entry.name}`",
        default or "-",
        allowed or "-",
        _CHOICES.sub("", entry.meaning) or "-",
    )
    return f"| {' | '.join(cells)} |"


def _facts(known: FieldInfo) -> tuple[str, str]:
    """Default and allowed values, as Markdown."""
    if "SecretStr" in str(known.annotation):
        return ("" if known.default in (None, PydanticUndefined) else "a sample"), "a secret"
    allowed = ", ".join(_allowed(known))
    return _shown(known.default), allowed


def _shown(value: Any) -> str:
    if value is None or value is PydanticUndefined or value in ((), ""):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`{','.join(map(str, value))}`"
    return f"`{value.value if isinstance(value, StrEnum) else value}`"


def _allowed(known: FieldInfo) -> Iterator[str]:
    options = [known.annotation, *get_args(known.annotation)]
    for option in options:
        if isinstance(option, type) and issubclass(option, StrEnum):
            yield ", ".join(f"`{one.value}`" for one in option)
        elif get_origin(option) is Literal:
            yield ", ".join(f"`{one}`" for one in get_args(option))
        elif option is bool:
            yield "`true`, `false`"
    if bounds := list(_bounds(known)):
        yield " and ".join(bounds)


def _bounds(known: FieldInfo) -> Iterator[str]:
    metadata = [*known.metadata]
    for option in get_args(known.annotation):
        metadata += getattr(option, "__metadata__", ())
    metadata += [inner for one in metadata for inner in getattr(one, "metadata", ())]
    for rule in metadata:
        for name, text in _BOUNDS.items():
            limit = getattr(rule, name, None)
            if limit is not None:
                yield text.format(limit)
