"""The questions that dashboards ask again and again."""

from collections.abc import Sequence

from dev.grafana.panels import WIDTH, Panel, Query, Unit


def rate(metric: str, *by: str, where: str = "") -> Query:
    """So many a second, by some labels."""
    grouped = f" by ({', '.join(by)})" if by else ""
    return Query(f"sum{grouped} (rate({metric}{_chosen(where)}[$__rate_interval]))", _named(by))


def quantile(of_100: int, histogram: str, *by: str, where: str = "") -> Query:
    """What so many of 100 do not exceed."""
    labels = ", ".join(("le", *by))
    steps = f"rate({histogram}_bucket{_chosen(where)}[$__rate_interval])"
    legend = f"{_named(by)} p{of_100}".strip()
    return Query(f"histogram_quantile({of_100 / 100:g}, sum by ({labels}) ({steps}))", legend)


def _chosen(where: str) -> str:
    return f"{{{where}}}" if where else ""


def _named(by: Sequence[str]) -> str:
    return " ".join(f"{{{{{label}}}}}" for label in by)


def stat(title: str, expr: str, means: str = "", *, unit: Unit = "short") -> Panel:
    return Panel(title, [Query(expr)], means, unit=unit, kind="stat", width=WIDTH // 4)
