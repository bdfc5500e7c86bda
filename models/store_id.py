"""Ids of stores."""

import re


def is_store_id(text: str) -> bool:
    """Whether a text can be a store's id."""
    return re.fullmatch(r"[A-Za-z0-9_-]{1,64}", text) is not None
