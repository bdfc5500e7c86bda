"""Why an operator's question or command cannot be served. The text is for the operator."""


class OpsError(Exception):
    """Base of the errors in here."""


class UnusableError(OpsError):
    """The question cannot be asked: no such kind of name, or values that do not go together."""


class NotFoundError(OpsError):
    """There is no such saga, cart, effect or relay."""


class NotStoppedError(OpsError):
    """Only a saga that was stopped can be acknowledged."""


class ServerAwayError(OpsError):
    """A server does not answer without which nothing can be done; `server` is its name."""

    def __init__(self, server: str, text: str) -> None:
        super().__init__(text)
        self.server = server
