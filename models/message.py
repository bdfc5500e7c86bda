"""The base of the inputs and results that Temporal stores.

Temporal stores them as plain text. So no message contains an idempotency key, and only workflow
inputs contain email addresses.
"""

from pydantic import BaseModel, ConfigDict


class Message(BaseModel):
    """A frozen model that refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")
