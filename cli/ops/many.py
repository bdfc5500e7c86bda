"""Commands that act on many at once ask for their number first."""

import sys

import typer


def agreed(action: str, count: int, what: str, confirm: int | None) -> bool:
    """Whether the operator means just so many; asks on a terminal unless `confirm` says it.

    Of none there is nothing to ask, unless some were expected.
    """
    if not count and not confirm:
        return True
    given = confirm
    if given is None and sys.stdin.isatty():
        given = typer.prompt(f"Type how many {what} to {action}", type=int, err=True)
    if given == count:
        return True
    told = "nothing" if given is None else str(given)
    repeat = f"; repeat with --confirm {count}" if count else ""
    print(
        f"nothing was done: {count} {what} were found and {told} was confirmed{repeat}",
        file=sys.stderr,
    )
    return False
