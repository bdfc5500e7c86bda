"""The address of a client behind proxies, which its rate limit is counted by.

Each proxy appends the address it saw to `X-Forwarded-For`. What stands left of the entry of the
outermost trusted proxy was written by the client. FORWARDED_ALLOW_IPS names the trusted proxies, as
addresses and networks.
"""

import pytest

from tests.fakes.api import URL, settings_for_tests
from tests.http.conftest import serving


@pytest.mark.parametrize(
    ("trusted", "lines", "key"),
    [
        ("127.0.0.1", [], "127.0.0.1"),
        ("127.0.0.1", ["203.0.113.7"], "203.0.113.7"),
        ("127.0.0.1", ["6.6.6.6, 203.0.113.7"], "203.0.113.7"),
        ("127.0.0.1", ["6.6.6.6", "203.0.113.7"], "203.0.113.7"),
        ("127.0.0.0/8,10.0.0.0/8", ["6.6.6.6, 203.0.113.7, 10.1.2.3"], "203.0.113.7"),
        ("127.0.0.1,10.0.0.0/8", ["203.0.113.7:4711, 10.1.2.3"], "203.0.113.7"),
        ("127.0.0.1", ["[2001:db8:1:2::7]:4711"], "2001:db8:1:2::/64"),
        ("127.0.0.1", ["2001:db8:1:2:ffff::1"], "2001:db8:1:2::/64"),
        ("127.0.0.1", ["::ffff:203.0.113.7"], "203.0.113.7"),
        ("127.0.0.1", ["_hidden"], "unknown"),
        ("127.0.0.1", [""], "127.0.0.1"),
        ("10.0.0.0/8", ["203.0.113.7"], "127.0.0.1"),
        # The leftmost: whatever a client writes, unless the proxy overwrites the header.
        ("*", ["6.6.6.6, 203.0.113.7"], "6.6.6.6"),
    ],
)
async def test_the_rightmost_address_that_is_no_trusted_proxy_counts(
    trusted: str, lines: list[str], key: str
) -> None:
    settings = settings_for_tests(rate_limit_per_address=300, forwarded_allow_ips=trusted)
    async with serving(settings) as served:
        headers = [f"X-Forwarded-For: {line}" for line in lines]
        reply = await served.ask(served.request("GET", URL, *headers))
        assert reply.status == 200
        assert served.api.limiter.taken == [f"address:{key}"]


@pytest.mark.parametrize("text", ["10.0.0.1/8", "proxy.example.com", "10.0.0.0/8,*", "10.0.0.0/33"])
def test_a_proxy_that_would_match_nothing_is_refused_at_start(text: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        settings_for_tests(forwarded_allow_ips=text)
