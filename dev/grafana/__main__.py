"""`python -m dev.grafana` writes the dashboards anew."""

from pathlib import Path

from dev.grafana.boards import BOARDS
from dev.grafana.panels import text_of

FOLDER = Path(__file__).parents[2] / "deploy" / "grafana" / "dashboards"


def files() -> dict[Path, str]:
    """Each file and what is in it."""
    return {FOLDER / f"{board.name}.json": text_of(board) for board in BOARDS}


def main() -> None:
    """Writes them all."""
    for file, text in files().items():
        file.write_text(text)


if __name__ == "__main__":
    main()
