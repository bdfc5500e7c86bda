"""What staging and production refuse, and the names under which it is allowed.

OWASP ASVS 5.0, chapter 12 (secure communication) asks for TLS to all back-end services, and 13.2
for authentication between them. A connection within one machine needs neither.
"""

import pytest

from settings import Settings, SettingsError, load_settings
from settings.safety import SafetySettings

SAFE = {
    "ENVIRONMENT": "production",
    "JWT_ALGORITHM": "RS256",
    "JWT_JWKS_URL": "https://id.example.com/jwks.json",
    "JWT_ISSUER": "https://id.example.com/",
    "JWT_AUDIENCE": "cart.example.com",
    "DATA_SECRETS": "a-secret-of-at-least-thirty-two-bytes",
    "MONGODB_URI": "mongodb://user:secret@mongo/cart-service",
    "REDIS_URL": "rediss://:secret@redis:6379/0",
    "KAFKA_BROKERS": "kafka-1:9094,kafka-2:9094",
    "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
    "KAFKA_SASL_USERNAME": "cart",
    "KAFKA_SASL_PASSWORD": "secret",
    "INVENTORY_SERVICE_URL": "https://inventory",
    "TEMPORAL_ADDRESS": "temporal:7233",
    "TEMPORAL_TLS": "true",
}
INSECURE = {
    "JWKS": ("JWT_JWKS_URL", ["http://id.example.com/jwks.json"]),
    "MONGODB": (
        "MONGODB_URI",
        [
            "mongodb://mongo/cart",
            "mongodb://user@mongo/?tls=true",
            "mongodb+srv://mongo.example.net",
        ],
    ),
    "REDIS": (
        "REDIS_URL",
        ["redis://redis", "redis://:secret@redis", "rediss://redis", "redis://user@redis:6380/1"],
    ),
    "KAFKA": ("KAFKA_SECURITY_PROTOCOL", ["PLAINTEXT", "SASL_PLAINTEXT"]),
    "INVENTORY": ("INVENTORY_SERVICE_URL", ["http://inventory:4008", "http://10.0.0.1"]),
    "PRODUCT_SERVICE": ("PRODUCT_SERVICE_URL", ["http://products", "http://10.0.0.1:4008"]),
    "TEMPORAL": ("TEMPORAL_TLS", ["false"]),
}
CASES = [
    pytest.param(system, name, value, id=f"{system} {value}")
    for system, (name, values) in INSECURE.items()
    for value in values
]
ENVIRONMENTS = pytest.mark.parametrize("environment", ["staging", "production"])


def started(monkeypatch: pytest.MonkeyPatch, **env: str) -> Settings:
    monkeypatch.setenv("CART_ENV_FILE", "")
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    return load_settings()


@ENVIRONMENTS
@pytest.mark.parametrize(("system", "name", "value"), CASES)
def test_an_insecure_connection_stops_the_start_unless_it_is_allowed_by_name(
    system: str, name: str, value: str, environment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {**SAFE, "ENVIRONMENT": environment, name: value}
    with pytest.raises(SettingsError) as raised:
        started(monkeypatch, **given)
    text = str(raised.value)
    assert f"ALLOW_INSECURE_{system}=true" in text
    assert text.count("ALLOW_INSECURE_") == text.count(f"ALLOW_INSECURE_{system}=true")
    assert f"ENVIRONMENT={environment}" in text
    assert "secret" not in text.replace("JWT_SECRET", "")
    others = {f"ALLOW_INSECURE_{one}": "true" for one in INSECURE if one != system}
    with pytest.raises(SettingsError):
        started(monkeypatch, **others)
    assert started(monkeypatch, **{f"ALLOW_INSECURE_{system}": "true"})


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"MONGODB_URI": "mongodb+srv://u:p@cluster.example.net"},
        {"MONGODB_URI": "mongodb://mongo/?authMechanism=MONGODB-X509&tls=true"},
        {"MONGODB_URI": "mongodb://%2Frun%2Fmongodb.sock/cart"},
        {"MONGODB_URI": "mongodb://127.0.0.1:27017,[::1]:27018/cart"},
        {"REDIS_URL": "unix:///run/redis.sock"},
        {"REDIS_URL": "redis://localhost:6379"},
        {"REDIS_URL": "rediss://redis/0?ssl_certfile=/c.pem&ssl_keyfile=/k.pem"},
        {"REDIS_URL": "", "REDIS_HOST": "redis", "REDIS_PASSWORD": "x", "REDIS_TLS": "true"},
        {"KAFKA_SECURITY_PROTOCOL": "SSL"},
        {"KAFKA_BROKERS": "127.0.0.1:9092", "KAFKA_SECURITY_PROTOCOL": "PLAINTEXT"},
        {"INVENTORY_SERVICE_URL": "http://127.0.0.1:4008"},
        {"INVENTORY_SERVICE_URL": "http://[::1]:4008"},
        {"PRODUCT_SERVICE_URL": "https://products"},
        {"PRODUCT_SERVICE_URL": "http://127.0.0.1:4008"},
        {"JWT_JWKS_URL": "http://localhost:8080/jwks.json"},
        {"TEMPORAL_ADDRESS": "localhost:7233", "TEMPORAL_TLS": "false"},
    ],
)
def test_what_is_secure_or_within_this_machine_starts(
    more: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [*started(monkeypatch, **(SAFE | more)).weaknesses()] == []


@pytest.mark.parametrize("environment", ["development", "test"])
def test_development_needs_no_permission(environment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    insecure = {name: values[0] for name, values in INSECURE.values()}
    assert started(monkeypatch, **(SAFE | insecure | {"ENVIRONMENT": environment}))


def test_all_that_is_refused_is_listed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    insecure = {name: values[0] for name, values in INSECURE.values()}
    with pytest.raises(SettingsError) as raised:
        started(monkeypatch, **(SAFE | insecure))
    for system in INSECURE:
        assert f"ALLOW_INSECURE_{system}" in str(raised.value)


@pytest.mark.parametrize("environment", ["development", "test", "staging", "production"])
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "cart.example.com", "api"])
def test_the_sample_secret_is_refused_where_others_reach_it(
    host: str, environment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsError, match="JWT_SECRET: must not be the sample"):
        started(monkeypatch, HOST=host, ENVIRONMENT=environment)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "::1"])
def test_the_sample_secret_is_for_this_machine(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert started(monkeypatch, HOST=host).has_sample_secret


def test_temporal_with_a_key_uses_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    without = {name: value for name, value in SAFE.items() if name != "TEMPORAL_TLS"}
    with pytest.raises(SettingsError, match="TEMPORAL_ADDRESS: has no TLS"):
        started(monkeypatch, **without)
    assert started(monkeypatch, TEMPORAL_API_KEY="a-key")


def test_a_configuration_of_temporal_that_cannot_be_read_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(SettingsError, match=r"TEMPORAL_…: its configuration cannot be read"):
        started(monkeypatch, **SAFE, TEMPORAL_PROFILE="missing")


def test_each_permission_has_a_setting() -> None:
    assert {f"allow_insecure_{system.lower()}" for system in INSECURE} == {
        name for name in SafetySettings.model_fields if name.startswith("allow_")
    }
