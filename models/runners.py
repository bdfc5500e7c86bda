"""Runners of a scheduled workflow, which page through the carts side by side."""

from models.message import Message


class Runner(Message):
    """How far a runner is; its workflow adds what it counts and where it continues."""

    ended: bool = False


class Share(Message):
    """One of `runners` equal shares of the carts or stores: that of the runner `runner`."""

    runner: int
    runners: int
