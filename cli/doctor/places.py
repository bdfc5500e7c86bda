"""Where the servers are, and the settings that say so."""

from dataclasses import dataclass

from cli.console import without_login
from cli.temporal import TemporalPlace
from settings import Settings


@dataclass(frozen=True)
class Place:
    """The address of a server, without its password. `is_set`: the setting names it."""

    address: str
    setting: str
    is_set: bool

    @property
    def advice(self) -> str:
        """For a server that does not answer: a local one can be started."""
        if self.is_set:
            return f"check that it runs and that {self.setting} is right"
        return f"start it with `make run` (only the servers: `cart stack`), or set {self.setting}"


def api(settings: Settings) -> Place:
    return Place(settings.api_url, "PORT", is_set=False)


def mongodb(settings: Settings) -> Place:
    address = without_login(settings.mongodb.get_secret_value())
    return Place(address, "MONGODB_URI", is_set=settings.mongodb_uri is not None)


def redis(settings: Settings) -> Place:
    address = without_login(settings.redis.get_secret_value())
    is_set = bool(settings.redis_url or settings.redis_host)
    return Place(address, "REDIS_URL or REDIS_HOST", is_set)


def kafka(settings: Settings) -> Place:
    is_set = settings.kafka_brokers is not None
    return Place(", ".join(settings.kafka), "KAFKA_BROKERS", is_set)


def inventory(settings: Settings) -> Place:
    is_set = settings.inventory_service_url is not None
    return Place(without_login(settings.inventory), "INVENTORY_SERVICE_URL", is_set)


def products(settings: Settings) -> Place:
    return Place(without_login(settings.product_service), "PRODUCT_SERVICE_URL", is_set=True)


def temporal(settings: Settings) -> Place:
    """Raises `RuntimeError` when Temporal's configuration cannot be read."""
    place = TemporalPlace(settings)
    return Place(place.address, "TEMPORAL_ADDRESS", place.is_set)
