"""Settings: names, addresses, and what an invalid value prints."""

import os
import re
from pathlib import Path

import pytest
from dotenv import dotenv_values

from settings import Settings, SettingsError, load_settings

# Read by the SDKs and by Uvicorn.
OTHERS = re.compile(r"TEMPORAL_(ADDRESS|NAMESPACE|API_KEY|TLS.*|PROFILE)|OTEL_.*|(HTTPS?|NO)_PROXY")
SECRETS = {
    "JWT_SECRET": "short-secret",
    "MONGODB_URI": "http://user:secret@mongo/cart",
    "REDIS_URL": "http://:secret@redis",
}


def refusal(monkeypatch: pytest.MonkeyPatch, **env: str) -> str:
    """What a process prints that cannot start with these variables."""
    monkeypatch.setenv("CART_ENV_FILE", "")
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as raised:
        load_settings()
    return str(raised.value)


def example(project_root: Path) -> dict[str, str]:
    """The variables of .env.example, also those that are commented out."""
    lines = (project_root / ".env.example").read_text().splitlines()
    found = (re.match(r"(?:# )?([A-Z][A-Z0-9_]+)=(\S*)", line) for line in lines)
    return {match[1]: match[2] for match in found if match}


def test_every_name_of_the_example_file_is_a_setting_and_every_value_is_valid(
    project_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = example(project_root)
    known = {name.upper() for name in Settings.model_fields}
    assert {name for name in values if name not in known and not OTHERS.fullmatch(name)} == set()
    assert {name for name in known if name not in values} == set()
    monkeypatch.setenv("CART_ENV_FILE", "")
    for name, value in (values | dotenv_values(project_root / ".env.example")).items():
        monkeypatch.setenv(name, value or "")
    load_settings()


@pytest.mark.parametrize(
    "url",
    [
        "redis://redis:6379/0",
        "redis://user:p%2Fw%23@redis",
        "rediss://:p%40ss%3Aw%3Frd@redis.example.com:6380/2?ssl_cert_reqs=required",
        "unix://:password@/run/redis.sock?db=1",
    ],
)
def test_a_redis_address_reaches_the_client_unchanged(url: str) -> None:
    assert Settings(redis_url=url).redis.get_secret_value() == url


@pytest.mark.parametrize("path", ["/one", "/0/1", "/-1"])
def test_a_redis_address_names_its_database_by_a_number(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client would take database 0 for anything else."""
    assert "number of a database" in refusal(monkeypatch, REDIS_URL=f"redis://redis:6379{path}")


def test_a_base_url_has_no_slash_at_its_end() -> None:
    settings = Settings(
        inventory_service_url="https://shop.example.com/inventory/",
        temporal_ui_url="http://temporal_ui:8233",
        jwt_jwks_url="https://id.example.com/.well-known/jwks.json?v=1",
    )
    assert settings.inventory == "https://shop.example.com/inventory"
    assert settings.temporal_ui == "http://temporal_ui:8233"
    assert str(settings.jwt_jwks_url) == "https://id.example.com/.well-known/jwks.json?v=1"


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("ENVIRONMENT", "prod", "'development', 'test', 'staging' or 'production'"),
        ("PORT", "65536", "less than or equal to 65535"),
        ("LOG_LEVEL", "verbose", "'debug', 'info', 'warn' or 'error'"),
        ("JWT_JWKS_URL", "id.example.com/jwks", "an http or https URL"),
        ("INVENTORY_SERVICE_URL", "inventory:4008", "an http or https URL"),
        ("INVENTORY_SERVICE_URL", "http://inventory:99999", "an http or https URL"),
        ("TEMPORAL_UI_URL", "ftp://temporal", "an http or https URL"),
        ("KAFKA_BROKERS", "kafka", "host:port"),
        ("KAFKA_BROKERS", "PLAINTEXT://kafka:9092", "host:port"),
        ("KAFKA_SECURITY_PROTOCOL", "TLS", "'PLAINTEXT', 'SSL', 'SASL_PLAINTEXT' or 'SASL_SSL'"),
        ("KAFKA_SASL_MECHANISM", "SCRAM", "'SCRAM-SHA-512' or 'OAUTHBEARER'"),
        ("KAFKA_TOPIC_PREFIX", "shop/", "match pattern"),
        ("KAFKA_SSL_CA_FILE", "/no/such.pem", "a PEM file of certificates (No such file"),
        ("MONGODB_TLS_CA_FILE", "/no/such.pem", "a PEM file of certificates (No such file"),
        ("REDIS_TLS_CA_FILE", "/no/such.pem", "a PEM file of certificates (No such file"),
        ("INVENTORY_TLS_CA_FILE", "/no/such.pem", "a PEM file of certificates (No such file"),
        ("SSL_CERT_FILE", "/no/such.pem", "no such file"),
        ("CORS_ORIGINS", "https://shop.example.com/", "origins like https://shop.example.com"),
        ("ENABLE_METRICS", "perhaps", "boolean"),
    ],
)
def test_an_invalid_value_is_named_with_what_is_allowed(
    name: str, value: str, allowed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = refusal(monkeypatch, **{name: value})
    assert text.startswith(f"{name}={value!r}: ")
    assert allowed in text


def test_an_invalid_secret_is_named_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        text = refusal(monkeypatch, **{name: value})
        assert f"{name}: must" in text
        assert "secret" not in text.removeprefix(name)
        monkeypatch.delenv(name)


def test_secrets_are_not_in_the_settings_text() -> None:
    settings = Settings(
        jwt_secret="a-secret-that-has-at-least-32-bytes",
        mongodb_uri="mongodb://user:a-secret@mongo/cart",
        redis_url="redis://:a-secret@redis",
        kafka_sasl_password="a-secret",
    )
    assert "a-secret" not in f"{settings!r} {settings} {settings.mongodb} {settings.redis}"


@pytest.mark.parametrize("around", ["{}\n", "{}\r\n", " {}\t"])
def test_white_space_around_a_value_does_not_count(
    monkeypatch: pytest.MonkeyPatch, around: str
) -> None:
    """As at the end of a Kubernetes secret that was made from a file."""
    monkeypatch.setenv("CART_ENV_FILE", "")
    values = {
        "PORT": "4010",
        "ENVIRONMENT": "staging",
        "JWT_SECRET": "x" * 32,
        "DATA_SECRETS": "a" * 40,
        "REDIS_URL": "rediss://:password@redis:6379",
        "INVENTORY_TOKEN": "a-token",
        "KAFKA_SASL_PASSWORD": "a password",
        "TEMPORAL_API_KEY": "a-key",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, around.format(value))
    monkeypatch.setenv("ALLOW_INSECURE_MONGODB", around.format("true"))
    settings = load_settings()
    assert settings.port == 4010
    assert settings.jwt_secret.get_secret_value() == "x" * 32
    assert settings.kafka_sasl_password is not None
    assert settings.kafka_sasl_password.get_secret_value() == "a password"
    assert os.environ["TEMPORAL_API_KEY"] == "a-key"


def test_an_issuer_and_an_audience_can_be_set_to_nothing_on_purpose(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CART_ENV_FILE", "")
    monkeypatch.delenv("JWT_ISSUER", raising=False)
    monkeypatch.setenv("JWT_AUDIENCE", "")
    monkeypatch.setenv("JWT_ROLES_CLAIM", "")  # of every other variable it is the default
    settings = load_settings()
    assert settings.jwt_issuers == ("cart-service",)
    assert settings.jwt_audiences == ()
    assert settings.jwt_roles_claim == "roles"
    monkeypatch.setenv("JWT_ISSUER", "https://accounts.google.com, accounts.google.com")
    assert load_settings().jwt_issuers == ("https://accounts.google.com", "accounts.google.com")
    text = refusal(monkeypatch, ENVIRONMENT="production")
    assert "JWT_ISSUER" not in text
    assert "JWT_AUDIENCE" not in text


def test_production_has_no_default_for_secrets_and_servers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert refusal(monkeypatch, ENVIRONMENT="production").splitlines() == [
        "JWT_SECRET: must not be the sample when ENVIRONMENT=production",
        "JWT_ISSUER: must be set when ENVIRONMENT=production; "
        "an empty value (`JWT_ISSUER=`) accepts any",
        "JWT_AUDIENCE: must be set when ENVIRONMENT=production; "
        "an empty value (`JWT_AUDIENCE=`) accepts any",
        "MONGODB_URI: must be set when ENVIRONMENT=production",
        "REDIS_URL or REDIS_HOST: must be set when ENVIRONMENT=production",
        "KAFKA_BROKERS: must be set when ENVIRONMENT=production",
        "INVENTORY_SERVICE_URL: must be set when ENVIRONMENT=production",
        "DATA_SECRETS: must not have the sample when ENVIRONMENT=production",
    ]


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ("X-Api-Key: hunter2", "must be a JSON object of strings"),
        ('["hunter2"]', "must be a JSON object of strings"),
        ('{"X-Api-Key": 7}', "must be a JSON object of strings"),
        ('{"X Api Key": "hunter2"}', "has a name that no header can have: 'X Api Key'"),
        ('{"": "hunter2"}', "has a name that no header can have: ''"),
        ('{"X-Api-Key": "hunter2\\r\\nX: y"}', "has a value of X-Api-Key that is not visible"),
        ('{"X-Api-Key": ""}', "has a value of X-Api-Key that is not visible"),
        ('{"content-length": "9"}', "must not have content-length, which the service sets"),
    ],
)
def test_headers_for_the_inventory_that_cannot_be_sent_are_named(
    value: str, rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = refusal(monkeypatch, INVENTORY_HEADERS=value)
    assert text.startswith(f"INVENTORY_HEADERS: {rule}")
    assert "hunter2" not in text


def test_a_token_for_the_inventory_has_no_spaces(monkeypatch: pytest.MonkeyPatch) -> None:
    text = refusal(monkeypatch, INVENTORY_TOKEN="Bearer hunter2")
    assert text == "INVENTORY_TOKEN: must be visible ASCII characters without spaces"


def test_credentials_for_the_inventory_must_not_contradict_each_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    header = {"INVENTORY_HEADERS": '{"authorization": "Basic x"}'}
    text = refusal(monkeypatch, INVENTORY_TOKEN="t", **header)
    assert text == "INVENTORY_TOKEN and Authorization in INVENTORY_HEADERS: set only one of them"
    monkeypatch.delenv("INVENTORY_TOKEN")
    text = refusal(monkeypatch, INVENTORY_SERVICE_URL="http://me:secret@inventory", **header)
    assert text.startswith("Authorization in INVENTORY_HEADERS and the login in INVENTORY_SERVICE")
    assert "secret" not in text
    for name in ("INVENTORY_SERVICE_URL", "INVENTORY_HEADERS"):
        monkeypatch.delenv(name)
    text = refusal(monkeypatch, INVENTORY_CLIENT_KEY=str(tmp_path / "key.pem"))
    assert text == "INVENTORY_CLIENT_CERT: must be set with INVENTORY_CLIENT_KEY"
    text = refusal(monkeypatch, INVENTORY_CLIENT_CERT=str(tmp_path / "cert.pem"))
    assert text.startswith("INVENTORY_SERVICE_URL: must start with https://")
    text = refusal(monkeypatch, INVENTORY_SERVICE_URL="https://inventory")
    assert text.startswith("INVENTORY_CLIENT_CERT, INVENTORY_CLIENT_KEY: must be PEM files")


def test_the_credentials_for_the_inventory_are_sent_as_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CART_ENV_FILE", "")
    monkeypatch.setenv("INVENTORY_TOKEN", "a-secret")
    monkeypatch.setenv("INVENTORY_HEADERS", '{"X-Api-Key": "a-secret", "X-Tenant": "the shop"}')
    settings = load_settings()
    assert settings.inventory_credentials == {
        "Authorization": "Bearer a-secret",
        "X-Api-Key": "a-secret",
        "X-Tenant": "the shop",
    }
    assert "a-secret" not in f"{settings!r} {settings}"


@pytest.mark.parametrize(
    ("secrets", "rule"),
    [
        ("short", "each must have at least 32 bytes"),
        ("x" * 32 + ",short", "each must have at least 32 bytes"),
        (",", "must have 1 to 5 secrets, separated by commas"),
        (",".join("x" * 32 for _ in range(6)), "must have 1 to 5 secrets, separated by commas"),
    ],
)
def test_data_secrets_are_checked_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, secrets: str, rule: str
) -> None:
    text = refusal(monkeypatch, DATA_SECRETS=secrets)
    assert text == f"DATA_SECRETS: {rule}"


def test_the_first_data_secret_writes_and_all_of_them_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_SECRETS", f"{'n' * 32} , {'o' * 32}")
    assert Settings().secrets_of_data == ("n" * 32, "o" * 32)
