"""Settings of the example storefront."""

from pydantic import AnyHttpUrl

from settings.base import SettingsGroup


class StorefrontSettings(SettingsGroup):
    """The storefront is a page to try the service with, which `cart run` turns on.

    `storefront_control_url` is where the page finds the panel of `cart run`, if there is one.
    """

    enable_storefront: bool = False
    storefront_control_url: AnyHttpUrl | None = None
