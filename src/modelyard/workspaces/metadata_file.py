"""The YAML file that describes a workspace (``model-metadata.yaml``, ``metadata.yaml``), read without trust."""

from typing import Any

import yaml

from modelyard.kernel.texts import decoded, is_storable
from modelyard.plain_yaml import PlainLoader

MAX_BYTES = 64 * 1024
MAX_NODES = 5_000
INT64 = range(-(2**63), 2**63)


class MetadataError(ValueError):
    """Why the file is refused; the text names line and column where there are any."""


class _Loader(PlainLoader):
    """Stops at the first value that nobody could store or send, and at too many of them, as soon as it meets them."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._met = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self._met += 1
        if self._met > MAX_NODES:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call] # untyped in types-pyyaml
            raise yaml.MarkedYAMLError(problem=f"more than {MAX_NODES} values", problem_mark=mark)
        node = super().compose_node(parent, index)
        if isinstance(node, yaml.ScalarNode) and not is_storable(node.value):
            raise yaml.MarkedYAMLError(problem="characters that no text has", problem_mark=node.start_mark)
        return node

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        value: int = super().construct_yaml_int(node)
        if value not in INT64:
            raise yaml.MarkedYAMLError(problem="a whole number of more than 64 bits", problem_mark=node.start_mark)
        return value


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)
for _name in ("bool", "timestamp"):  # defaults are written as yes and no; a date has to be quoted, and is told so
    _tag = f"tag:yaml.org,2002:{_name}"
    for _start, _resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items():
        for _resolver in (pattern for tag, pattern in _resolvers if tag == _tag):
            _Loader.add_implicit_resolver(_tag, _resolver, [_start])


def read_metadata(content: bytes, file_name: str) -> dict[str, Any]:
    """The file's mapping; an empty file is an empty one.

    Only plain YAML values are made. Aliases count as what they stand for, so that a small file cannot unfold into
    a huge one. Raises ``MetadataError``.
    """
    if len(content) > MAX_BYTES:
        raise MetadataError(f"{file_name} has {len(content)} bytes; at most {MAX_BYTES} are read")
    text = _decoded(content, file_name)
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return {}
        _refuse_growth(node, file_name)
        values = loader.construct_document(node)
    except MetadataError:
        raise
    except yaml.MarkedYAMLError as error:
        raise MetadataError(_at(file_name, error)) from error
    except yaml.reader.ReaderError as error:
        raise MetadataError(f"{_place(file_name, text, error.position)}: {error.reason}") from error
    except RecursionError as error:
        raise MetadataError(f"{file_name} is nested too deeply") from error
    except ValueError as error:
        raise MetadataError(f"{file_name} holds a value that cannot be read: {error}") from error
    if not isinstance(values, dict):
        raise MetadataError(
            f"{file_name}, line 1, column 1: the file must be a mapping such as 'name: my model', not a {_kind(values)}"
        )
    return values


def _decoded(content: bytes, file_name: str) -> str:
    try:
        return decoded(content)
    except UnicodeDecodeError as error:
        before = decoded(content[: error.start], "replace")
        raise MetadataError(f"{_place(file_name, before, len(before))}: the file is no text in UTF-8") from error


def _place(file_name: str, text: str, position: int) -> str:
    before = text[:position]
    line = before.count("\n") + 1
    return f"{file_name}, line {line}, column {len(before) - (before.rfind(chr(10)) + 1) + 1}"


def _at(file_name: str, error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    place = f"{file_name}, line {mark.line + 1}, column {mark.column + 1}" if mark else file_name
    reasons = [reason for reason in (error.context, error.problem) if reason]
    return f"{place}: {', '.join(reasons)}"


def _refuse_growth(root: yaml.Node, file_name: str) -> None:
    sizes: dict[int, int | None] = {}

    def size(node: yaml.Node) -> int:
        known = sizes.get(id(node), 0)
        if known is None:
            raise MetadataError(f"{_at_node(file_name, node)}: a value contains itself")
        if known:
            return known
        sizes[id(node)] = None
        total = 1 + sum(size(child) for child in _children(node))
        if total > MAX_NODES:
            raise MetadataError(f"{_at_node(file_name, node)}: more than {MAX_NODES} values, aliases unfolded")
        sizes[id(node)] = total
        return total

    size(root)


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _at_node(file_name: str, node: yaml.Node) -> str:
    return f"{file_name}, line {node.start_mark.line + 1}, column {node.start_mark.column + 1}"


def _kind(value: object) -> str:
    return "list" if isinstance(value, list) else "text" if isinstance(value, str) else type(value).__name__
