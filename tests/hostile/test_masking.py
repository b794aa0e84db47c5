"""What ``docs/security.md`` says of masking, for every type of credential there is and each to come."""

import base64
import json
import re
from pathlib import Path
from typing import Any

from modelyard.compute.supervisor.output import Masker
from modelyard.credentials.types import FIELDS
from modelyard_runner.masking import texts_to_mask
from tests.conftest import Installation
from tests.credentials.builders import ACCOUNT_KEY, EXAMPLES, a_credential
from tests.credentials.opening import variables

DOCUMENTED = Path(__file__).parents[2] / "docs"
HARD = 'it\'s "quoted" \\ and\ttabbed \u00fc\u2603\nsecond-line-of-it\n'
"""A secret that JSON, Python and a terminal write differently."""
TELLING = re.compile("quoted|second-line|tabbed")
PUBLIC = "public-part-of-it"


def a_hard_one(name: str, type_: str) -> Any:
    """The value of a field: what is secret is hard to mask."""
    (field,) = (one for one in FIELDS[type_] if one.name == name)
    if name == "gcpKey":
        return ACCOUNT_KEY | {"private_key": HARD, "client_email": PUBLIC}
    if "Url" in name:
        return f"https://{PUBLIC}.example"
    return f"{name} {HARD}" if field.is_secret else f"{PUBLIC}-{name}"


def shown(value: Any) -> list[str]:
    """How programs print a value: as it is, in JSON of both kinds, in Python's way, in the middle of a line."""
    texts = [
        json.dumps(value),
        json.dumps(value, ensure_ascii=False),
        repr(value),
        json.dumps({"a": [value]}, indent=1),
    ]
    if isinstance(value, str):
        texts += [value, f"x{value}y", value.replace("\n", "\r\n"), *value.split("\n")]
    return texts


def test_every_secret_of_every_type_is_masked_and_nothing_that_is_public(installation: Installation) -> None:
    wrong = []
    for type_, examples in EXAMPLES.items():
        fields = {name: a_hard_one(name, type_) for name in examples}
        made = a_credential(installation.api, name=type_, credentialType=type_, **fields)
        opened = variables(installation, SECRET=made["credentialId"])
        masker = Masker([*opened.secrets.values(), *opened.masked])
        in_exceptions = texts_to_mask(opened.literals | opened.secrets)
        for field in FIELDS[type_]:
            for text in shown(fields[field.name]) if field.name in fields else []:
                logged = masker.mask(text.encode()).decode()
                for where, found in (("log", logged), ("exception", without(in_exceptions, text))):
                    if bool(TELLING.search(found)) if field.is_secret else PUBLIC not in found:
                        wrong.append((type_, field.name, where, text, found))
        for variable, whole in opened.secrets.items():
            if TELLING.search(masker.mask(whole.encode()).decode() + without(in_exceptions, whole)):
                wrong.append((type_, variable, "whole", whole, ""))
    assert EXAMPLES.keys() == FIELDS.keys()
    assert not wrong, "\n".join(map(str, wrong))


def without(secrets: list[str], text: str) -> str:
    """The text as the runner leaves it in a message."""
    for secret in secrets:
        text = text.replace(secret, "***")
    return text


def test_what_is_said_not_to_be_masked_is_not() -> None:
    """So that nobody relies on more than there is: the page says so, and it is so."""
    page = " ".join((DOCUMENTED / "security.md").read_text().split())
    assert "shorter than 4 characters" in page
    assert "base64" in page
    masker = Masker(["abc", "correct-horse"])
    assert masker.mask(b"abc") == b"abc"
    encoded = base64.b64encode(b"correct-horse")
    assert masker.mask(encoded) == encoded


def test_overlapping_and_nested_secrets_leave_no_whole_one() -> None:
    secrets = ["token-one", "token-one-and-more", "one-and-more-still", "more", "****", "\\", "\n\n", " "]
    masker = Masker(secrets)
    for text in ["token-one-and-more-still", "token-one-and-more", "moremoremore", "a****b", "token-one token-one"]:
        found = masker.mask(text.encode()).decode()
        assert not [one for one in ("token-one", "one-and-more-still", "more") if one in found], found
