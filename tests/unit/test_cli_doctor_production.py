"""`cart doctor --production`: the lines of the checklist in docs/deploy.md, and what breaks one."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from redis.asyncio import Redis

from cli.doctor import production
from cli.doctor.production import configured, examine_production, servers
from cli.doctor.production.lines import BY_HAND, Findings, Line
from cli.doctor.results import Status
from cli.main import main
from models.events import TOPICS
from settings import Settings, load_settings
from tests.unit.cli_standin import clear_environment

SAFE = {
    "ENVIRONMENT": "production",
    "JWT_ALGORITHM": "RS256",
    "JWT_JWKS_URL": "https://id.example.com/jwks.json",
    "JWT_ISSUER": "https://id.example.com/",
    "JWT_AUDIENCE": "cart.example.com",
    "DATA_SECRETS": "a-secret-of-at-least-thirty-two-bytes",
    "MONGODB_URI": "mongodb+srv://user:secret@mongo.example.net/cart-service",
    "REDIS_URL": "rediss://:secret@redis:6379/0",
    "KAFKA_BROKERS": "kafka-1:9094",
    "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
    "KAFKA_SASL_USERNAME": "cart",
    "KAFKA_SASL_PASSWORD": "secret",
    "INVENTORY_SERVICE_URL": "https://inventory",
    "INVENTORY_TOKEN": "secret",
    "TEMPORAL_ADDRESS": "temporal:7233",
    "TEMPORAL_API_KEY": "secret",
    "RATE_LIMIT_PER_USER": "300",
    "RATE_LIMIT_PER_ADDRESS": "3000",
    "FORWARDED_ALLOW_IPS": "10.0.0.1",
}
BROKEN = [
    (Line.ENVIRONMENT, {"ENVIRONMENT": "staging"}, "ENVIRONMENT=staging"),
    (
        Line.TOKENS,
        {"JWT_ALGORITHM": "HS256", "JWT_SECRET": "32 bytes of a secret of this test"},
        "JWT_ALGORITHM=HS256",
    ),
    (Line.TOKENS, {"JWT_ISSUER": "cart-service"}, "JWT_ISSUER"),
    (Line.TRANSPORT, {"ALLOW_INSECURE_KAFKA": "true"}, "ALLOW_INSECURE_KAFKA=true"),
    (Line.TRANSPORT, {"MONGODB_URI": "mongodb://u:p@mongo/cart"}, "MONGODB_URI: has no TLS"),
    (
        Line.TRANSPORT,
        {"ALLOW_INSECURE_INVENTORY": "true", "INVENTORY_SERVICE_URL": "http://inventory"},
        "INVENTORY_SERVICE_URL: is http",
    ),
    (Line.CREDENTIALS, {"KAFKA_SECURITY_PROTOCOL": "SSL"}, "Kafka: no login"),
    (Line.CREDENTIALS, {"INVENTORY_TOKEN": ""}, "Inventory Service: no credentials"),
    (Line.CREDENTIALS, {"TEMPORAL_API_KEY": "", "TEMPORAL_TLS": "true"}, "Temporal: no login"),
    (Line.RATE_LIMITS, {"RATE_LIMIT_PER_USER": "0"}, "RATE_LIMIT_PER_USER=0"),
    (Line.RATE_LIMITS, {"RATE_LIMIT_PER_ADDRESS": "0"}, "RATE_LIMIT_PER_ADDRESS=0"),
    (Line.RATE_LIMITS, {"FORWARDED_ALLOW_IPS": ""}, "FORWARDED_ALLOW_IPS"),
    (Line.CART_LIMITS, {"CART_MAX_UNITS": "0"}, "CART_MAX_UNITS=0"),
    (Line.CART_LIMITS, {"CART_EXPIRY_DAYS": "365"}, "CART_EXPIRY_DAYS=365"),
    (Line.FLAGS, {"ENABLE_EVENT_PUBLISHING": "false"}, "ENABLE_EVENT_PUBLISHING=false"),
    (Line.FLAGS, {"INVENTORY_FAULTS": "true"}, "INVENTORY_FAULTS=true"),
    (Line.FLAGS, {"KAFKA_IDEMPOTENCE": "false"}, "KAFKA_IDEMPOTENCE"),
    (Line.FLAGS, {"LOG_LEVEL": "debug"}, "LOG_LEVEL=debug"),
    (Line.FLAGS, {"ENABLE_METRICS": "false"}, "ENABLE_METRICS=false"),
]


def given(monkeypatch: pytest.MonkeyPatch, **env: str) -> Settings:
    clear_environment(monkeypatch)
    for name, value in (SAFE | env).items():
        monkeypatch.setenv(name, value)
    return load_settings()


def problems(settings: Settings) -> dict[Line, list[str]]:
    findings = Findings()
    configured.check(settings, findings)
    return {
        line: weak
        for line in Line
        if (weak := [one.what for one in findings.of(line) if one.state is not Status.OK])
    }


def test_the_lines_are_those_of_the_checklist(project_root: Path) -> None:
    text = (project_root / "docs/deploy.md").read_text()
    [section] = re.findall(r"^## Production checklist\n(.*?)^## ", text, re.DOTALL | re.MULTILINE)
    named = re.findall(r"^- \[ \] \*\*(.+?)\*\*: ", section, re.MULTILINE)
    assert named == [*Line]
    assert section.count("- [ ]") == len(named)


def test_each_line_is_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    findings = Findings()
    configured.check(given(monkeypatch), findings)
    checked = [*findings.results, *production.SERVERS, *BY_HAND]
    assert sorted(checked) == sorted(Line)


def test_settings_as_they_should_be(monkeypatch: pytest.MonkeyPatch) -> None:
    assert problems(given(monkeypatch)) == {}


@pytest.mark.parametrize(("line", "env", "what"), BROKEN, ids=[str(one[1]) for one in BROKEN])
def test_each_weakness_is_named_in_its_line(
    line: Line, env: dict[str, str], what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if env.get("TEMPORAL_API_KEY") == "":
        monkeypatch.delenv("TEMPORAL_API_KEY", raising=False)
    found = problems(given(monkeypatch, **env))
    assert [*found] == [line]
    assert any(what in one for one in found[line])
    assert "secret" not in str(found).replace("JWT_SECRET", "")


# The servers


class Topics:
    """Kafka's answers: topics with so many replicas, and their configuration."""

    def __init__(self, *, replicas: int, in_sync: int, kept_ms: int) -> None:
        self._partitions = [{"replicas": [*range(replicas)]}]
        self._config = {"min.insync.replicas": in_sync, "retention.ms": kept_ms}

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def describe_topics(self) -> list[dict[str, Any]]:
        return [{"topic": topic, "partitions": self._partitions} for topic in TOPICS]

    async def describe_configs(self, wanted: list[Any]) -> list[Any]:
        entries = [(name, str(value)) for name, value in self._config.items()]
        return [SimpleNamespace(resources=[(0, "", 2, one.name, entries) for one in wanted])]


@pytest.mark.parametrize(
    ("kafka", "expected"),
    [
        (Topics(replicas=3, in_sync=2, kept_ms=-1), []),
        (Topics(replicas=3, in_sync=2, kept_ms=7 * 86_400_000), []),
        (Topics(replicas=1, in_sync=2, kept_ms=-1), ["fewer than 3 replicas"]),
        (Topics(replicas=3, in_sync=1, kept_ms=-1), ["min.insync.replicas is less than 2"]),
        (Topics(replicas=3, in_sync=2, kept_ms=1000), ["retention.ms=1000 of cart.dlq"]),
    ],
)
async def test_topics_that_a_broker_can_lose(
    kafka: Topics, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "AIOKafkaAdminClient", lambda **_: kafka)
    findings = Findings()
    await servers.check_kafka(Settings(), findings)
    found = [one.what for one in findings.of(Line.KAFKA)]
    assert [text for text in expected if not any(text in one for one in found)] == []
    assert len(found) == len(expected)


class Memory:
    """Redis's answers."""

    def __init__(self, **fields: Any) -> None:
        self._fields = fields

    async def info(self, _: str) -> dict[str, Any]:
        return self._fields

    async def aclose(self) -> None: ...


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, []),
        ({"maxmemory_policy": "noeviction"}, ["noeviction"]),
        ({"maxmemory": 0}, ["maxmemory is 0"]),
        ({"connected_slaves": 0}, ["no replica"]),
    ],
)
async def test_a_redis_that_fills_up_or_stands_alone(
    changed: dict[str, Any], expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = {
        "maxmemory_policy": "volatile-lru",
        "maxmemory": 1,
        "role": "master",
        "connected_slaves": 1,
    }
    redis = Memory(**(usual | changed))
    monkeypatch.setattr(Redis, "from_url", lambda *_, **__: redis)
    findings = Findings()
    await servers.check_redis(Settings(), findings)
    found = [one.what for one in findings.of(Line.REDIS)]
    assert len(found) == len(expected)
    assert all(text in one for text, one in zip(expected, found, strict=True))


def test_servers_that_do_not_answer_are_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(*_: Any) -> None:
        raise OSError("no route")

    monkeypatch.setattr(production, "SERVERS", dict.fromkeys(production.SERVERS, fails))
    found = {one.part: one for one in examine_production(given(monkeypatch))}
    assert [*found] == [*Line]
    for line in production.SERVERS:
        assert found[line].state is Status.WARN
        assert "no route" in found[line].what
    for line in BY_HAND:
        assert found[line].state is Status.BY_HAND


def test_the_command_shows_the_lines_and_fails_for_a_weakness(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def well(_: Settings, findings: Findings) -> None: ...

    monkeypatch.setattr(production, "SERVERS", dict.fromkeys(production.SERVERS, well))
    given(monkeypatch)
    for limit, code in (("300", 0), ("0", 1)):
        monkeypatch.setenv("RATE_LIMIT_PER_USER", limit)
        with pytest.raises(SystemExit) as ended:
            main(["doctor", "--production"])
        assert (ended.value.code or 0) == code
        shown = capsys.readouterr().out
        for line in Line:
            assert line in shown
        assert f"{len(BY_HAND)} by hand" in shown
