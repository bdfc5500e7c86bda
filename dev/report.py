"""`python -m dev.report`: the long runs of a release, one after the other, as one page.

It writes `report/report.md`, again after each run, and next to it each run's whole output. Exit
code 1 when a run failed. `--scale 0.01` makes a trial of it.
"""

import argparse
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from api.version import VERSION

ROOT = Path(__file__).parent.parent
RUN_SECONDS = 6 * 3600
MAX_LINES = 400
"""The last lines of an output that the page shows."""


@dataclass(frozen=True)
class Run:
    """A long run; `page` is a Markdown file that it writes, beside its output."""

    name: str
    title: str
    command: tuple[str, ...]
    page: Path | None = None

    @property
    def shown(self) -> str:
        """The command without the folders of this machine."""
        words = (Path(word).name if word.startswith("/") else word for word in self.command)
        return " ".join(words)


@dataclass(frozen=True)
class Result:
    run: Run
    code: int
    took: float
    output: str

    @property
    def verdict(self) -> str:
        return "passed" if self.code == 0 else f"**failed** (exit code {self.code})"


def runs(folder: Path, *, scale: float, seed: int) -> tuple[Run, ...]:
    """The runs of a release, each at most an hour and a half on two cores with `scale` 1."""

    def module(name: str, *arguments: str, **amounts: int) -> tuple[str, ...]:
        scaled = (
            word
            for option, amount in amounts.items()
            for word in (f"--{option}", str(max(1, round(amount * scale))))
        )
        return (sys.executable, "-m", name, *scaled, "--seed", str(seed), *arguments)

    chaos = folder / "chaos.md"
    return (
        Run(
            "chaos",
            "Faults among sagas",
            module("tests.faults.chaos", "--report", str(chaos), sagas=10_000, faults=500),
            chaos,
        ),
        Run(
            "storm",
            "Events of other services, under faults",
            module("tests.faults.storm", events=5000, faults=100),
        ),
        Run(
            "load",
            "A hundred buyers of ten units, under faults",
            module("tests.faults.load", seconds=60, faults=12),
        ),
        Run(
            "fuzz",
            "Requests that the document allows and forbids",
            module("tests.contract.fuzz", cases=50_000),
        ),
        Run(
            "bench", "What durability costs", (str(Path(sys.executable).with_name("cart")), "bench")
        ),
    )


def carry_out(run: Run, folder: Path) -> Result:
    """Runs it to its end; its output goes to `NAME.log`, too."""
    began = time.monotonic()
    with (folder / f"{run.name}.log").open("w+") as log:
        try:
            code = subprocess.run(  # noqa: S603 - a command of `runs`
                run.command,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | {"COLUMNS": "100"},
                timeout=RUN_SECONDS,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            code = -1
        log.seek(0)
        return Result(run, code, time.monotonic() - began, log.read())


def page(results: Sequence[Result], *, about: Sequence[str]) -> str:
    """The report of the runs so far."""
    rows = [
        f"| [{one.run.title}](#{anchor(one.run.title)}) | {one.verdict} | {one.took / 60:.1f} min |"
        for one in results
    ]
    parts = [
        f"# Report of Cart Service {VERSION}",
        "\n".join(f"- {line}" for line in about),
        "\n".join(["| run | result | took |", "|---|---|---|", *rows]),
    ]
    for one in results:
        parts.append(f"## {one.run.title}")
        parts.append(f"`{one.run.shown}`: {one.verdict}.")
        if one.run.page and one.run.page.exists():
            text = one.run.page.read_text().removeprefix("# ").partition("\n")[2]
            parts.append(re.sub(r"^(#+ )", r"#\1", text.strip(), flags=re.MULTILINE))
        else:
            lines = one.output.strip().splitlines()[-MAX_LINES:]
            parts.append("\n".join(["```text", *lines, "```"]))
    return "\n\n".join(parts) + "\n"


def anchor(title: str) -> str:
    """As GitHub makes it of a heading."""
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


def _about() -> tuple[str, ...]:
    commit = subprocess.run(
        ["git", "log", "-1", "--format=%h of %cs"],  # noqa: S607 - whichever Git is installed
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    ).stdout.strip()
    return (
        f"Commit {commit or 'unknown'}; run on {time.strftime('%Y-%m-%d', time.gmtime())}",
        f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, with all servers on the same machine",
    )


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m dev.report", description=__doc__)
    parser.add_argument(
        "--scale", type=float, default=1.0, help="share of the sagas, events, cases"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", action="append", help="a run's name; may be repeated")
    parser.add_argument("--folder", type=Path, default=Path("report"))
    given = parser.parse_args(arguments)
    folder = given.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    results = []
    for run in runs(folder, scale=given.scale, seed=given.seed):
        if given.only and run.name not in given.only:
            continue
        sys.stdout.write(f"{run.title}: {folder / run.name}.log\n")
        sys.stdout.flush()
        results.append(carry_out(run, folder))
        (folder / "report.md").write_text(page(results, about=_about()))
        sys.stdout.write(f"  {results[-1].verdict} in {results[-1].took / 60:.1f} min\n")
    sys.stdout.write(f"{folder / 'report.md'}\n")
    return int(any(one.code for one in results))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
