"""Where the servers are, and the settings that say so."""

from dataclasses import dataclass

from cli.console import without_login
from cli.temporal import TemporalPlace
from ops.words import BAD_CERTIFICATE, CLOSED
from settings import Settings


@dataclass(frozen=True)
class Place:
    """The address of a server, without its password. `is_set`: the setting names it.

    `ca_file` is the setting for the authorities of its certificate.
    """

    address: str
    setting: str
    is_set: bool
    ca_file: str = "SSL_CERT_FILE"

    @property
    def advice(self) -> str:
        """For a server that does not answer: a local one can be started."""
        if self.is_set:
            return f"check that it runs and that {self.setting} is right"
        return f"start it with `make run` (only the servers: `cart stack`), or set {self.setting}"

    def advice_for(self, why: str) -> str:
        """For a server that does not answer, by the reason (`cli.console.reason`)."""
        if why == BAD_CERTIFICATE:
            return f"set {self.ca_file} to the authorities of its certificate, as a PEM file"
        if why == CLOSED:
            return f"it may require TLS: see its log, and correct {self.setting}"
        return self.advice


def api(settings: Settings) -> Place:
    return Place(settings.api_url, "PORT", is_set=False)


def mongodb(settings: Settings) -> Place:
    address = without_login(settings.mongodb.get_secret_value())
    return Place(address, "MONGODB_URI", settings.mongodb_uri is not None, "MONGODB_TLS_CA_FILE")


def redis(settings: Settings) -> Place:
    address = without_login(settings.redis.get_secret_value())
    is_set = bool(settings.redis_url or settings.redis_host)
    return Place(address, "REDIS_URL or REDIS_HOST", is_set, "REDIS_TLS_CA_FILE")


def kafka(settings: Settings) -> Place:
    is_set = settings.kafka_brokers is not None
    return Place(", ".join(settings.kafka), "KAFKA_BROKERS", is_set, "KAFKA_SSL_CA_FILE")


def inventory(settings: Settings) -> Place:
    is_set = settings.inventory_service_url is not None
    address = without_login(settings.inventory)
    return Place(address, "INVENTORY_SERVICE_URL", is_set, "INVENTORY_TLS_CA_FILE")


def products(settings: Settings) -> Place:
    return Place(without_login(settings.product_service), "PRODUCT_SERVICE_URL", is_set=True)


def temporal(settings: Settings) -> Place:
    """Raises `RuntimeError` when Temporal's configuration cannot be read."""
    place = TemporalPlace(settings)
    return Place(
        place.address, "TEMPORAL_ADDRESS", place.is_set, "TEMPORAL_TLS_SERVER_CA_CERT_PATH"
    )
