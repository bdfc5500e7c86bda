"""JSON on which parsers differ is refused with a helpful message."""

from decimal import Decimal

import pytest

from api.strict_json import StrictJsonError, parse_object


def test_numbers_with_a_fraction_never_become_floats() -> None:
    parsed = parse_object(b'{"a": 0.1, "b": 1e2, "c": 7, "d": [79.90], "e": true}')
    assert parsed == {"a": Decimal("0.1"), "b": 100, "c": 7, "d": [Decimal("79.90")], "e": True}
    assert isinstance(parsed["b"], Decimal)
    assert isinstance(parsed["c"], int)


def test_text_in_any_script_is_accepted() -> None:
    text = '{"a": "Kopfhörer 🎧 \\ud83c\\udfa7 \\u00e9 \\\\ud800"}'
    assert parse_object(text.encode()) == {"a": "Kopfhörer 🎧 🎧 é \\ud800"}


def test_any_depth_of_nesting_is_parsed_or_refused() -> None:
    for depth in (*range(100, 1000, 10), *range(1000, 10_000, 500)):
        raw = b'{"a":' * depth + b'"\\n"' + b"}" * depth
        try:
            assert list(parse_object(raw)) == ["a"]
        except StrictJsonError as error:
            assert "nested too deeply" in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b'{"a": 1,}', "not valid JSON"),
        (b"{'a': 1}", "not valid JSON"),
        (b'{"a": 1} {}', "Extra data"),
        (b'{"a": 01}', "not valid JSON"),
        (b'{"a": "\n"}', "control character"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": Infinity}', "Infinity"),
        (b'{"a": -Infinity}', "-Infinity"),
        (b'{"a": 1, "a": 2}', "same key"),
        (b'{"a": {"b": 1, "b": 1}}', "same key"),
        (b'{"a": 1, "\\u0061": 2}', "same key"),
        (b'{"a": "\xff"}', "UTF-8"),
        (b'{"a": "\xed\xa0\x80"}', "UTF-8"),
        (b'{"a": "\\ud800"}', "surrogate"),
        (b'{"a": ["\\udfff"]}', "surrogate"),
        (b'{"\\ud800": 1}', "surrogate"),
        (b'{"a": ' + b"9" * 5000 + b"}", "too many digits"),
        (b'{"a": 1e999999999999999999999}', "out of range"),
        (b'{"a": ' + b"[" * 60_000, "nested too deeply"),
        (b'{"a":' * 10_000, "nested too deeply"),
        (b"[]", "JSON object"),
        (b"null", "JSON object"),
        (b'"text"', "JSON object"),
        (b"1", "JSON object"),
    ],
)
def test_ambiguous_json_is_refused(raw: bytes, says: str) -> None:
    with pytest.raises(StrictJsonError, match=says):
        parse_object(raw)
