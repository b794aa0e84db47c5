"""A chain of tasks as it is written on a command line, with values for their hyperparameters."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from modelyard.cli.client import Api, Json
from modelyard.cli.errors import CommandError, ExitCode, near_matches
from modelyard.cli.lookup import TASK, find, find_if_any, find_version, looks_like_id


@dataclass
class Link:
    """One task of a chain. ``hyperparameters`` is None for a version named by its id alone: the server knows it."""

    title: str
    names: set[str]
    version_id: str
    hyperparameters: dict[str, Json] | None
    parameters: Json = field(default_factory=dict)


def read_chain(api: Api, tasks: Sequence[str], options: Sequence[str]) -> list[Json]:
    """The tasks of a request for a model. ``options`` are ``NAME=VALUE`` or ``TASK.NAME=VALUE``."""
    links = [_link(api, text, place) for place, text in enumerate(tasks, 1)]
    for option in options:
        left, equals, text = option.partition("=")
        if not equals or not left:
            raise CommandError(
                f"--param {option}: write it as NAME=VALUE or TASK.NAME=VALUE",
                code=ExitCode.USAGE,
            )
        link, name = _addressed(links, left)
        link.parameters[name] = _value(link, name, text)
    return [{"customTaskVersionId": link.version_id, "parameters": link.parameters} for link in links]


def _link(api: Api, text: str, place: int) -> Link:
    task = find_if_any(api, TASK, text)
    wanted = None
    if task is None and "@" in text:
        name, _, wanted = text.rpartition("@")
        task = find(api, TASK, name)
    if task is None:
        if not looks_like_id(text):
            find(api, TASK, text)  # says what there is instead
        return Link(text, {str(place), text}, text, None)
    version = find_version(api, TASK, task, wanted)
    known = {one["name"]: one for one in version["hyperparameters"]}
    return Link(task["name"], {str(place), text, task["name"], task["id"], version["id"]}, version["id"], known)


def _addressed(links: Sequence[Link], left: str) -> tuple[Link, str]:
    """The task whose hyperparameter is meant, and the hyperparameter's name."""
    task, dot, name = left.rpartition(".")
    if dot:
        named = [link for link in links if task in link.names]
        if not named:
            near = near_matches(task, [link.title for link in links])
            listed = ", ".join(f"{place} ({link.title})" for place, link in enumerate(links, 1))
            hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"the chain's tasks are {listed}"
            raise CommandError(f"--param {left}: the chain has no task {task!r}", hint=hint, code=ExitCode.USAGE)
        return _only(links, named, name), name
    having = [link for link in links if name in (link.hyperparameters or {})]
    if not having:
        having = [link for link in links if link.hyperparameters is None]
    if not having:
        known = [each for link in links for each in link.hyperparameters or {}]
        raise _unknown(f"no task of the chain has a hyperparameter {name!r}", name, known)
    return _only(links, having, name), name


def _only(links: Sequence[Link], found: Sequence[Link], name: str) -> Link:
    if len(found) == 1:
        return found[0]
    places = [f"{place}.{name}" for place, link in enumerate(links, 1) if link in found]
    raise CommandError(
        f"--param {name}: {len(found)} tasks of the chain could be meant",
        hint=f"say which by its place in the chain: {' or '.join(places)}",
        code=ExitCode.USAGE,
    )


def _unknown(sentence: str, name: str, known: Sequence[str]) -> CommandError:
    near = near_matches(name, known)
    listed = f"there is {', '.join(known)}" if known else "hyperparameters in model-metadata.yaml define them"
    hint = f"did you mean {' or '.join(near)}?" if near else listed
    return CommandError(sentence, hint=hint, code=ExitCode.USAGE)


def _value(link: Link, name: str, text: str) -> Any:
    """The text as a value of the type that the task defines. Bounds are the server's to check."""
    if link.hyperparameters is None:
        return _number(text, (int, float))
    if name not in link.hyperparameters:
        raise _unknown(f"{link.title} has no hyperparameter {name!r}", name, list(link.hyperparameters))
    definition = link.hyperparameters[name]
    values = definition.get("values")
    types = {definition["type"]: {"values": values}}
    if definition["type"] == "multi":
        types = values or {}
    read = _number(text, [type_ for key, type_ in (("int", int), ("float", float)) if key in types])
    if not isinstance(read, str):
        return read
    if types.keys() <= {"int", "float"}:
        raise CommandError(f"{link.title}: {name} is a number, not {text!r}", code=ExitCode.USAGE)
    choices = (types.get("select") or {}).get("values") or []
    return next((choice for choice in choices if str(choice) == text), text)


def _number(text: str, types: Sequence[type[int] | type[float]]) -> int | float | str:
    for type_ in types:
        try:
            return type_(text)
        except ValueError:
            continue
    return text
