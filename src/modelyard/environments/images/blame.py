"""From what an installer printed to the line of the requirements file that its user should look at."""

import re

from packaging.utils import canonicalize_name

from modelyard.environments.images.errors import BuildError
from modelyard.environments.images.spec import Wanted, WantedSet

_NAME = r"`?([A-Za-z0-9][A-Za-z0-9._-]*)"
_MAX_REASON_CHARACTERS = 1_000


_SYMPTOMS = (
    (
        rf"{_NAME} was not found in the (?:package registry|cache|provided package locations)",
        "there is no package {name} in the package index",
    ),
    (
        rf"[Tt]here (?:is|are) no versions? of {_NAME}([^\s,]*)",
        "there is no version {name}{detail} in the package index",
    ),
    (rf"only {_NAME}(.*?) (?:is|are) available", "only {name}{detail} is in the package index"),
    (
        rf"Hash mismatch for {_NAME}",
        "the downloaded file of {name} does not have the hash that the line asks for",
    ),
    (
        rf"Failed to (?:build|download and build) {_NAME}",
        "the build script of {name} failed; its output is in the log",
    ),
    (rf"Failed to (?:download|fetch) {_NAME}", "{name} could not be downloaded"),
    (rf"Failed to install: \S+ \({_NAME}", "{name} could not be unpacked; the log says why"),
    (rf"{_NAME} (?:\S+ )?has no usable wheels", "{name} has no wheel for this platform and Python version"),
    (
        rf"No matching distribution found for {_NAME}([^\s,]*)",
        "there is no {name}{detail} for this Python version in the package index",
    ),
    (rf"[Ff]ailed building wheel for {_NAME}", "the build script of {name} failed; its output is in the log"),
)
"""Sentences of uv and pip that name the package at fault, and the same in our words."""
_UNKNOWN_ISSUER = re.compile(r"UnknownIssuer|unable to get local issuer certificate|self[- ]signed certificate")
_UNTRUSTED = (
    "The package index has a certificate of an authority that this machine does not know. Add the authority to the "
    "system's certificates (update-ca-certificates), or name a file with it in SSL_CERT_FILE, and restart the server."
)
_REQUIRED = re.compile(rf"(?:you require|The user requested(?: \(constraint\))?|requires|depends on) {_NAME}")


def explain(output: str, wanted: WantedSet) -> BuildError:
    """The error of a build whose installer printed ``output``."""
    text = _unwrapped(output)
    by_name: dict[str, list[Wanted]] = {}
    for each in wanted.wanted:
        by_name.setdefault(each.dependency.canonical_name, []).append(each)
    for pattern, words in _SYMPTOMS:
        for match in re.finditer(pattern, text):
            culprits = by_name.get(_canonical(match[1]))
            if culprits:
                detail = match[2] if match.re.groups > 1 else ""
                return _error(culprits, words.format(name=match[1], detail=detail), wanted)
    if _UNKNOWN_ISSUER.search(text):
        return BuildError(_UNTRUSTED)
    mentioned = [name for match in _REQUIRED.finditer(text) if (name := _canonical(match[1])) in by_name]
    culprits = [each for name in dict.fromkeys(mentioned) for each in by_name[name]]
    reason = _reason(text)
    users = [each for each in culprits if each.file is not None]
    if users:
        return _error(users, reason, wanted)
    return BuildError(f"The packages could not be installed: {reason}")


def _error(culprits: list[Wanted], reason: str, wanted: WantedSet) -> BuildError:
    first = next((each for each in culprits if each.file is not None), culprits[0])
    if first.file is None:
        own_index = next((option for option in wanted.options if option.name in {"--index-url", "--no-index"}), None)
        remedy = f" Use --extra-index-url instead of {own_index.name}." if own_index else ""
        name = first.dependency.requirement
        return BuildError(f'"{name}", which the runner of every image needs, cannot be installed: {reason}.{remedy}')
    lines = " and ".join(_place(each) for each in culprits if each.file is not None)
    return BuildError(f"{lines} cannot be installed: {reason.rstrip('.')}.", first.dependency.line_number, first.file)


def _place(wanted: Wanted) -> str:
    line = wanted.dependency.line.splitlines()[0]
    return f'Line {wanted.dependency.line_number} of {wanted.file} ("{line}")'


def _canonical(name: str) -> str:
    return canonicalize_name(name.rstrip(".-_"))


def _unwrapped(output: str) -> str:
    """uv and pip break long sentences and indent what follows."""
    return re.sub(r"\s+", " ", output.replace("`", ""))


def _reason(text: str) -> str:
    """The installer's sentences, without its preamble and its hints."""
    causes = text.split("cause: ", 1)[-1].split(" hint: ", maxsplit=1)[0]
    causes = re.sub(
        r",? we can conclude that your requirements are unsatisfiable\.?", ", nothing satisfies all of them", causes
    )
    return causes.strip()[:_MAX_REASON_CHARACTERS]
