"""Keys: what is sealed or signed is accepted only from this service, and about the same thing."""

import pytest

from adapters.keyring import MAC_CHARACTERS, Keyring
from adapters.redis.checked import checked, signed

OLD, NEW = "o" * 32, "n" * 32
BODY = b'{"_id":"507f1f77bcf86cd799439013","totalPrice":159.98}'


def test_a_sealed_text_opens_to_the_same_text() -> None:
    keys = Keyring([OLD])
    sealed = keys.seal("Jane Roe, jane@example.com", "shopper", "store-1", "user-1")
    assert "Jane" not in sealed
    assert keys.open(sealed, "shopper", "store-1", "user-1") == "Jane Roe, jane@example.com"
    assert sealed != keys.seal("Jane Roe, jane@example.com", "shopper", "store-1", "user-1")


@pytest.mark.parametrize(
    "about",
    [("shopper", "store-1", "user-2"), ("name", "store-1", "user-1"), ("shopper", "store-1user-1")],
)
def test_a_sealed_text_does_not_open_as_anothers(about: tuple[str, ...]) -> None:
    keys = Keyring([OLD])
    assert keys.open(keys.seal("Jane", "shopper", "store-1", "user-1"), *about) is None


def test_what_is_no_sealed_text_does_not_open() -> None:
    keys = Keyring([OLD])
    sealed = keys.seal("Jane", "shopper")
    key_id, _, data = sealed.partition(".")
    for text in ("", ".", key_id, f"{key_id}.", f"{key_id}.é", f"{key_id}.{data[:-2]}AA", data):
        assert keys.open(text, "shopper") is None


def test_secrets_change_without_a_gap() -> None:
    """A new one is read everywhere before the first process writes with it."""
    before, both, swapped, after = (
        Keyring(secrets) for secrets in ([OLD], [OLD, NEW], [NEW, OLD], [NEW])
    )
    for writes, reads in ((before, both), (both, before), (swapped, both), (after, swapped)):
        assert reads.open(writes.seal("Jane", "shopper"), "shopper") == "Jane"
        assert reads.is_signed(BODY, writes.sign(BODY, "cart"), "cart")
    assert after.open(before.seal("Jane", "shopper"), "shopper") is None
    assert not after.is_signed(BODY, before.sign(BODY, "cart"), "cart")


def test_a_signed_value_is_json_with_the_signature_as_its_last_member() -> None:
    keys = Keyring([OLD])
    value = signed(keys, BODY, "cart", "store-1", "user-1", "3")
    assert value.startswith(BODY[:-1] + b',"_mac":"')
    assert len(keys.sign(BODY, "cart")) == MAC_CHARACTERS
    assert checked(keys, value, "cart", "store-1", "user-1", "3") == BODY


@pytest.mark.parametrize(
    "about",
    [("store-1", "user-2", "3"), ("store-2", "user-1", "3"), ("store-1", "user-1", "4")],
)
def test_a_cart_is_not_shown_as_another_users_or_version(about: tuple[str, ...]) -> None:
    keys = Keyring([OLD])
    value = signed(keys, BODY, "cart", "store-1", "user-1", "3")
    assert checked(keys, value, "cart", *about) is None


def test_a_value_that_the_service_has_not_written_counts_as_absent() -> None:
    keys = Keyring([OLD])
    value = signed(keys, BODY, "cart", "store-1")
    forged = [
        value.replace(b"159.98", b"  0.01"),
        BODY,
        b"",
        b"{}",
        b"\xff" * 100,
        value[:-3],
        signed(Keyring([NEW]), BODY, "cart", "store-1"),
        signed(keys, BODY, "stock", "store-1"),
    ]
    for one in forged:
        assert checked(keys, one, "cart", "store-1") is None
    assert checked(keys, None, "cart", "store-1") is None
