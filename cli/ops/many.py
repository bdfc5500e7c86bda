"""Commands that act on many at once ask for their number first."""

import sys

import typer


def agreed(action: str, count: int, what: str, confirm: int | None) -> bool:
    """Whether the operator means just so many; asks on a terminal unless `confirm` says it."""
    given = confirm
    if given is None and sys.stdin.isatty():
        given = typer.prompt(f"Type how many {what} to {action}", type=int, err=True)
    if given == count:
        return True
    told = "nothing" if given is None else str(given)
    print(
        f"nothing was done: {count} {what} were found and {told} was confirmed; "
        f"repeat with --confirm {count}",
        file=sys.stderr,
    )
    return False
