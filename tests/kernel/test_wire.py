"""Reading input into wire types."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from msgspec import Meta

import modelyard.app
from modelyard.kernel.errors import BadRequest, Conflict, Invalid, NotFound, Unread
from modelyard.kernel.form_input import from_json
from modelyard.kernel.problems import Problems, refusing
from modelyard.kernel.wire import (
    NOT_JSON,
    SECRET,
    UNSET,
    Body,
    UnsetType,
    WebUrl,
    changes,
    convert,
    decode,
    decode_json,
)


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


def test_numbers_that_no_column_holds_are_invalid() -> None:
    with pytest.raises(Invalid) as raised:
        decode(Fruit, b'{"name": "fig", "weightGrams": 9223372036854775808}')
    assert raised.value.errors["weightGrams"].startswith("must be an integer from -9223372036854775808 to 92233720368")
    for content in (b'{"other": %s}' % (b"9" * 5000), b'{"other": 1e999}'):
        with pytest.raises(Invalid, match="number that is too large"):
            decode(Fruit, content)
    for text in ("NaN", "inf", "-Infinity", "1e999"):
        with pytest.raises(Invalid) as raised:
            convert(Scale, {"load": text}, strict=False)
        assert set(raised.value.errors) == {"load"}


class Scale(Body):
    load: float


def test_what_is_no_object_is_invalid() -> None:
    with pytest.raises(Invalid, match="object"):
        decode(Fruit, b"[1]")


def test_text_becomes_numbers_in_forms_only() -> None:
    assert convert(Fruit, {"name": "fig", "weightGrams": "30"}, strict=False).weight_grams == 30
    with pytest.raises(Invalid):
        convert(Fruit, {"name": "fig", "weightGrams": "30"})


def test_nul_characters_are_refused_wherever_they_are() -> None:
    content = b'{"name": "a\\u0000b", "weightGrams": "heavy"}'
    with pytest.raises(Invalid) as raised:
        decode(Fruit, content)
    assert set(raised.value.errors) == {"name", "weightGrams"}
    form = from_json(content)
    assert set(form.faults) == {"name"}
    assert set(form.read(Fruit).faults) == {"name", "weightGrams"}
    with pytest.raises(Invalid):
        convert(Fruit, {"name": "a\0", "weightGrams": "1"}, strict=False)


class Link(Body):
    target: WebUrl | UnsetType | None = UNSET


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org",
        "HTTP://example.org:8080/a/b;c?d=e&f=%20#g",
        "http://localhost/~user/!$'()*+,@",
        "http://[2001:db8::1]:80/",
        "https://build_host.internal/commit/0",
    ],
)
def test_addresses_of_the_web_are_read(url: str) -> None:
    assert convert(Link, {"target": url}).target == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org",
        "//example.org/",
        "javascript:alert(1)",
        "JavaScript://example.org/%0aalert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "ssh://git@example.org/x",
        "https:///path",
        "https://",
        "https://user:password@example.org/",
        "https://example.org/a b",
        "https://example.org/\n",
        "https://example.org\n",
        "https://example.org/\x1b]52;c;eA==\x07",
        "https://example.org/\u202e",
        "https://ex\u0430mple.org/",
        'https://example.org/"onmouseover="x',
        "https://example.org/<script>",
        "https://example.org:port/",
        "https://example.org/" + "x" * 2048,
    ],
)
def test_other_addresses_are_refused_in_words(url: str) -> None:
    with pytest.raises(Invalid) as raised:
        convert(Link, {"target": url})
    told = raised.value.errors["target"]
    assert told.startswith(("must be an http or https address", "expected `str` of length"))


class Safe(Body):
    label: Annotated[str, Meta(min_length=1)]
    code: Annotated[str, Meta(max_length=5, extra_json_schema=SECRET)] | UnsetType | None = UNSET


def test_what_cannot_be_read_counts_as_not_sent() -> None:
    faults: dict[str, str] = {}
    body = decode(Safe, b'{"code": "123456"}', faults)
    assert faults == body.faults == {"label": "is required", "code": "expected `str` of length <= 5"}
    assert body.code is UNSET
    assert changes(body) == {}
    assert body.unread == {"label", "code"}
    with pytest.raises(Unread):
        assert body.label
    assert not hasattr(body, "no_field")
    right = decode(Safe, b'{"label": "mine", "code": null}', faults := {})
    assert (right.label, right.code, right.faults, right.unread, faults) == ("mine", None, {}, frozenset(), {})


def test_a_rule_that_needs_what_was_not_read_is_skipped_and_not_forgotten() -> None:
    body = decode(Safe, b"{}", {})
    problems = Problems()
    with problems.collecting():
        assert body.label
    with pytest.raises(Unread):
        problems.raise_all()
    problems.add("code", "is no code")
    with pytest.raises(Invalid) as raised:
        problems.raise_all()
    assert raised.value.errors == {"code": "is no code"}


def test_faults_are_told_with_what_the_rules_refuse() -> None:
    faults = {"label": "is required"}
    for error in (Unread("label"), Conflict("taken"), Invalid("x", {"label": "must not be blank"})):
        with pytest.raises(Invalid) as raised, refusing(faults):
            raise error
        assert raised.value.errors == faults
    with pytest.raises(Invalid), refusing(faults):
        pass
    with pytest.raises(Invalid, match="label: is required; code: is no code") as raised, refusing(faults):
        raise Invalid("code: is no code", {"code": "is no code"}, extra={"link": "there"})
    assert raised.value.extra == {"link": "there"}
    with pytest.raises(Invalid, match="label: is required; a test runs"), refusing(faults):
        raise Invalid("a test runs")
    with pytest.raises(NotFound), refusing(faults):
        raise NotFound("there is none")
    with pytest.raises(Conflict), refusing({}):
        raise Conflict("taken")


def test_what_breaks_for_want_of_a_field_is_its_fault() -> None:
    with pytest.raises(Invalid) as raised, refusing({"label": "is required"}):
        raise TypeError("None is no text")
    assert raised.value.errors == {"label": "is required"}
    with pytest.raises(TypeError), refusing({}):
        raise TypeError("a mistake of ours")


def test_a_secret_value_is_never_told() -> None:
    for wrong in (b'["hush"]', b'{"hush": "hush"}', b'"hush-hush"'):
        assert "hush" not in str(decode(Safe, b'{"label": "mine", "code": ' + wrong + b"}", {}).faults)


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


class Inner(Body):
    policy: Literal["none", "public"]
    size: Annotated[int, Meta(ge=1)] | None = None


class Outer(Body):
    resources: Inner | UnsetType = UNSET
    rows: Annotated[list[Inner], Meta(max_length=3)] | UnsetType = UNSET


def test_all_that_is_wrong_inside_a_field_is_told() -> None:
    sent = {"resources": {"policy": "NONE", "size": 0}, "rows": [{"size": "x"}, {"policy": "none"}, {"policy": 5}]}
    with pytest.raises(Invalid) as caught:
        convert(Outer, sent)
    resources, rows = caught.value.errors["resources"], caught.value.errors["rows"]
    assert resources.startswith(
        "invalid enum value 'NONE' - at `$.policy`; allowed are none, public; expected `int` >= 1 - at `$.size`; got {"
    )
    assert rows.startswith(
        "object missing required field `policy` - at `$[0]`; expected `int | null`, got `str` - at `$[0].size`; "
        "expected `str`, got `int` - at `$[2].policy`; got ["
    )
    with pytest.raises(Invalid) as caught:
        convert(Outer, {"rows": [{"policy": "none"}] * 4, "resources": {}})
    assert caught.value.errors["rows"].startswith("expected `array` of length <= 3; got [")
    assert caught.value.errors["resources"] == "object missing required field `policy`; got {}"
    with pytest.raises(Invalid) as caught:
        convert(Outer, {"rows": [5] * 1000})
    assert caught.value.errors["rows"].count("expected `object`") == 10


OWN_JSON = {
    "credentials/service.py",
    "environments/images/metadata.py",
    "kernel/form_input.py",
    "kernel/http.py",
    "kernel/wire.py",
    "learning/progress.py",
    "learning/results.py",
}
"""Modules that read JSON which we wrote, or that are the way by which a client's is read."""


def test_json_that_clients_wrote_is_read_by_one_function() -> None:
    root = Path(modelyard.app.__file__).parent
    reading = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if re.search(r"msgspec\.json\.(decode|Decoder)\(", path.read_text())
    }
    assert reading <= OWN_JSON, "use kernel.wire.decode_json there"


def test_json_in_a_text_is_checked_like_any_other() -> None:
    assert decode_json('["a\\\\u0000"]', list[str]) == ["a\\u0000"]
    assert decode_json("[1e30, 9223372036854775807]", list[Any]) == [1e30, 2**63 - 1]
    with pytest.raises(NOT_JSON):
        decode_json("[1e999]", list[Any])
    for text in ('["\\u0000"]', '[{"\\u0000": 1}]', '["\\ud800"]', "[" * 100_000, '["\ud800"]'):
        with pytest.raises((*NOT_JSON, UnicodeEncodeError)):
            decode_json(text, list[Any])
