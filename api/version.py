"""The version of the service, which the document and `/health` show."""

from importlib.metadata import PackageNotFoundError, version


def service_version() -> str:
    """The version of the installed package."""
    try:
        return version("cart-service")
    except PackageNotFoundError:  # run from a source tree that was not installed
        return "0.0.0"
