"""Reading input into wire types."""

from typing import Annotated, Literal

import pytest
from msgspec import Meta

from modelyard.kernel.errors import BadRequest, Invalid
from modelyard.kernel.form_input import from_json
from modelyard.kernel.wire import SECRET, UNSET, Body, DeferredBody, UnsetType, changes, convert, decode


class Fruit(Body):
    name: Annotated[str, Meta(max_length=5)]
    weight_grams: Annotated[int, Meta(ge=1)]
    colour: str | UnsetType | None = UNSET


def test_absent_and_null_differ() -> None:
    absent = decode(Fruit, b'{"name": "pear", "weightGrams": 3}')
    null = decode(Fruit, b'{"name": "pear", "weightGrams": 3, "colour": null}')
    assert changes(absent) == {"name": "pear", "weight_grams": 3}
    assert changes(null) == {"name": "pear", "weight_grams": 3, "colour": None}


def test_every_wrong_field_is_named_at_once() -> None:
    with pytest.raises(Invalid) as raised:
        decode(Fruit, b'{"name": "pineapple", "colour": 7}')
    assert set(raised.value.errors) == {"name", "weightGrams", "colour"}
    assert raised.value.errors["weightGrams"] == "is required"
    assert '"pineapple"' in raised.value.errors["name"]


@pytest.mark.parametrize(
    "content", [b"{", b"nonsense", b"\xff\xfe", b'{"name": "\xff"}', b'{"name": ' + b"[" * 100_000]
)
def test_what_is_not_json_is_a_bad_request(content: bytes) -> None:
    with pytest.raises(BadRequest):
        decode(Fruit, content)


def test_what_is_no_object_is_invalid() -> None:
    with pytest.raises(Invalid, match="object"):
        decode(Fruit, b"[1]")


def test_text_becomes_numbers_in_forms_only() -> None:
    assert convert(Fruit, {"name": "fig", "weightGrams": "30"}, strict=False).weight_grams == 30
    with pytest.raises(Invalid):
        convert(Fruit, {"name": "fig", "weightGrams": "30"})


def test_nul_characters_are_refused_wherever_they_are() -> None:
    for read in (lambda c: decode(Fruit, c), from_json):
        with pytest.raises(Invalid) as raised:
            read(b'{"name": "a\\u0000b", "weightGrams": 3}')
        assert set(raised.value.errors) == {"name"}
    with pytest.raises(Invalid):
        convert(Fruit, {"name": "a\0", "weightGrams": "1"}, strict=False)


class Safe(DeferredBody):
    label: Annotated[str, Meta(min_length=1)]
    code: Annotated[str, Meta(max_length=5, extra_json_schema=SECRET)] | UnsetType | None = UNSET


def test_a_deferred_body_is_refused_with_what_the_service_knows() -> None:
    body = decode(Safe, b'{"code": "123456"}')
    assert body.faults == {"label": "is required", "code": "expected `str` of length <= 5"}
    with pytest.raises(Invalid) as raised:
        body.refuse({"code": "is no code", "other": "is not known"})
    assert raised.value.errors == body.faults | {"other": "is not known"}
    right = decode(Safe, b'{"label": "mine", "code": null}')
    right.refuse({})
    assert (right.label, right.code, right.faults) == ("mine", None, {})


def test_a_secret_value_is_never_told() -> None:
    for wrong in (b'["hush"]', b'{"hush": "hush"}', b'"hush-hush"'):
        assert "hush" not in str(decode(Safe, b'{"label": "mine", "code": ' + wrong + b"}").faults)


class Basket(Body):
    size: Literal["small", "large"] | UnsetType = UNSET


class Cart(Body):
    basket: Basket
    wheels: list[Literal[2, 4]]


def test_a_wrong_word_is_answered_with_those_that_are_allowed() -> None:
    with pytest.raises(Invalid) as raised:
        convert(Cart, {"basket": {"size": "Small"}, "wheels": [3]})
    assert "; allowed are small, large; got " in raised.value.errors["basket"]
    assert "; allowed are 2, 4; got [3]" in raised.value.errors["wheels"]
