"""Which server, and which token: the environment first, then the file that ``modelyard login`` writes."""

import json
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from modelyard.cli.errors import CommandError, ExitCode

ENDPOINT_VARIABLE = "MODELYARD_ENDPOINT"
TOKEN_VARIABLE = "MODELYARD_API_TOKEN"  # noqa: S105 # a variable's name
API_PATH = "/api/v2"


@dataclass(frozen=True, slots=True)
class Account:
    """A server's root address, without a last slash, and a token for it."""

    endpoint: str
    token: str
    source: str
    """Where it was read from, for people."""


def config_file() -> Path:
    """``modelyard/config.toml`` in the user's configuration folder (XDG)."""
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "modelyard" / "config.toml"


def read_account() -> Account:
    """The account to work with; ``CommandError`` where there is none."""
    file = config_file()
    saved = _read(file)
    endpoint = os.environ.get(ENDPOINT_VARIABLE) or saved.get("endpoint")
    token = os.environ.get(TOKEN_VARIABLE)
    if endpoint and not token and normal_endpoint(endpoint) == normal_endpoint(saved.get("endpoint", endpoint)):
        token = saved.get("token")  # a token is for its own server: never sent to another
    if not endpoint or not token:
        raise CommandError(
            f"no token for {endpoint} is known" if endpoint else "no server is known",
            hint=f"modelyard login URL remembers one; {ENDPOINT_VARIABLE} and {TOKEN_VARIABLE} name one for a command",
            code=ExitCode.NOT_ALLOWED,
        )
    from_environment = [name for name in (ENDPOINT_VARIABLE, TOKEN_VARIABLE) if os.environ.get(name)]
    return Account(normal_endpoint(endpoint), token, " and ".join(from_environment) or str(file))


def remember(endpoint: str, token: str) -> Path:
    """Writes the account to the user's configuration, readable by nobody else; returns the file."""
    file = config_file()
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    staged = file.with_name(f".{file.name}.{os.getpid()}")
    text = f"endpoint = {json.dumps(normal_endpoint(endpoint))}\ntoken = {json.dumps(token)}\n"
    descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as target:
        target.write(text)
    staged.replace(file)
    return file


def forget() -> Path | None:
    """Removes the remembered account; None where there was none."""
    file = config_file()
    if not file.exists():
        return None
    file.unlink()
    return file


def normal_endpoint(text: str) -> str:
    """``text`` as a root address: a scheme is added, ``/api/v2`` and last slashes are taken off."""
    url = text.strip() if "://" in text else f"http://{text.strip()}"
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise CommandError(
            f"{text!r} is no server address", hint="write it like http://localhost:8000", code=ExitCode.USAGE
        )
    return url.rstrip("/").removesuffix(API_PATH).rstrip("/")


def _read(file: Path) -> dict[str, str]:
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise CommandError(f"cannot read {file}: {error.strerror}") from error
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CommandError(
            f"{file} is no valid TOML: {error}", hint="correct it, or write it anew with modelyard login URL"
        ) from error
    return {name: value for name, value in values.items() if isinstance(value, str)}
