"""Keeps secrets out of the messages that are made of the model's exceptions: clients read those.

The platform names the variables that hold secrets in `MODELYARD_SECRET_VARIABLES`, separated by commas. What the
process prints is masked by the platform itself.
"""

import json
import os
from collections.abc import Iterator, Mapping

VARIABLE = "MODELYARD_SECRET_VARIABLES"
MASK = "***"
SHORTEST = 4


def texts_to_mask(environment: Mapping[str, str]) -> list[str]:
    """Every secret text of an environment, each of its lines, and both as JSON and Python write them; longest first."""
    values = [environment[name] for name in environment.get(VARIABLE, "").split(",") if name in environment]
    values += [part for value in values for part in _private_parts(value)]
    found: set[str] = set()
    for value in values:
        found.update((json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], repr(value)[1:-1]))
        for line in value.split("\n"):
            found.update((line, line.strip()))
    return sorted((text for text in found if len(text) >= SHORTEST), key=len, reverse=True)


def _private_parts(value: str) -> Iterator[str]:
    """The private keys in a service account's key file, which is a secret as a whole."""
    try:
        content = json.loads(value)
    except ValueError:
        return
    if isinstance(content, dict):
        for name, part in content.items():
            if name.startswith("private") and isinstance(part, str):
                yield part


_TEXTS = texts_to_mask(os.environ)  # as the process was started: the model's code may change its environment


def masked(text: str) -> str:
    """The text with every secret in it replaced."""
    for secret in _TEXTS:
        text = text.replace(secret, MASK)
    return text
