"""HTTP proxies, by the usual variables: `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`.

Upper or lower case. `NO_PROXY` has names, which include their subdomains, addresses and networks
(`10.0.0.0/8`), each with or without a port, or `*`. This machine is never reached by a proxy.
"""

from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit
from urllib.request import getproxies_environment

from settings.base import comma_separated, is_loopback

_PORTS = {"http": 80, "https": 443}


def proxy_for(url: str) -> str | None:
    """The URL of the proxy for this URL; None without one.

    Raises `ValueError` for a proxy that is not an http or https URL.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    proxies = getproxies_environment()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or is_loopback(host):
        return None
    port = parts.port or _PORTS.get(parts.scheme)
    if any(_covers(one, host, port) for one in comma_separated(proxies.get("no", ""))):
        return None
    if "://" not in proxy:
        proxy = f"http://{proxy}"
    if urlsplit(proxy).scheme not in _PORTS:
        name = f"{parts.scheme.upper()}_PROXY or ALL_PROXY"
        raise ValueError(f"{name}: must be an http or https URL, or NO_PROXY must have {host}")
    return proxy


def _covers(exception: str, host: str, port: int | None) -> bool:
    """Whether a part of `NO_PROXY` is about this host and port."""
    if exception == "*":
        return True
    try:
        return ip_address(host) in ip_network(exception.strip("[]"), strict=False)
    except ValueError:
        pass  # one of them is a name, or has a port
    try:
        other = urlsplit(f"//{exception}")
        name, only = (other.hostname or "").lstrip(".*"), other.port
    except ValueError:
        return False
    matches = host == name or (bool(name) and host.endswith(f".{name}"))
    return matches and only in {None, port}
