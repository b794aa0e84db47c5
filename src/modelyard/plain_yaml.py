"""YAML in which a plain scalar is what it looks like: the loader of every file that users write.

Numbers and booleans look as in JSON. Everything else without quotes is a text as it is written, also what YAML 1.1
reads as an octal (`010`), hexadecimal or sexagesimal number (`12:30`), with underscores (`1_000`), as a date, or as yes
and no.
"""

import re
from collections.abc import Hashable
from typing import Any, ClassVar

import yaml

LABEL_FIELDS = frozenset({"positiveClassLabel", "negativeClassLabel", "classLabels"})
"""Class labels are texts, whatever they look like: `0.10` and `true`, too."""

_TAG = "tag:yaml.org,2002:"
_NULL = re.compile(r"^(?:~|null|Null|NULL|)$")
_FLOAT = (
    r"^(?:[-+]?(?:(?:0|[1-9][0-9]*)\.[0-9]*|\.[0-9]+)(?:[eE][-+][0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
)
_RESOLVERS: tuple[tuple[str, str, str], ...] = (
    ("null", _NULL.pattern, "~nN\0"),
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("int", r"^[-+]?(?:0|[1-9][0-9]*)$", "-+0123456789"),
    ("float", _FLOAT, "-+.0123456789"),
    ("merge", r"^<<$", "<"),
)


class PlainLoader(yaml.SafeLoader):
    """A safe loader by those rules; the values of its `text_fields` are texts as they are written."""

    text_fields: ClassVar[frozenset[str]] = LABEL_FIELDS

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Construct a mapping, some of whose values are texts."""
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if isinstance(key, yaml.ScalarNode) and key.value in self.text_fields:
                    _make_texts(value)
        return super().construct_mapping(node, deep)


PlainLoader.yaml_implicit_resolvers = {}
for _name, _pattern, _first in _RESOLVERS:
    PlainLoader.add_implicit_resolver(
        _TAG + _name, re.compile(_pattern), ["" if one == "\0" else one for one in _first]
    )


def _make_texts(node: yaml.Node) -> None:
    """Give a label, or each label of a list, the tag of a text. A label that is left out stays null."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            if isinstance(item, yaml.ScalarNode) and item.style is None and item.value:
                item.tag = _TAG + "str"
    elif isinstance(node, yaml.ScalarNode) and node.style is None and _NULL.match(node.value) is None:
        node.tag = _TAG + "str"
