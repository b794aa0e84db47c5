"""YAML in which a plain scalar is what it looks like: the loader of every file that users write.

Numbers and booleans are those of JSON (YAML 1.2, 10.2); everything else without quotes is a text as it is written, also
what YAML 1.1 reads as octal (`010`), sexagesimal (`12:30`), with underscores (`1_000`), as a date, or as yes and no.
"""

import re
from collections.abc import Hashable
from typing import Any

import yaml

LABEL_FIELDS = frozenset({"positiveClassLabel", "negativeClassLabel", "classLabels"})
"""Their values are texts as they are written, whatever they look like: `0.10` and `true`, too."""

_TAG = "tag:yaml.org,2002:"
_NULL = re.compile(r"^(?:~|null|Null|NULL|)$")
_RESOLVERS: tuple[tuple[str, str, str], ...] = (
    ("null", _NULL.pattern, "~nN\0"),
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("int", r"^[-+]?(?:0|[1-9][0-9]*)$", "-+0123456789"),
    (
        "float",
        r"^(?:[-+]?(?:0|[1-9][0-9]*)(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?|[-+]?\.[0-9]+(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$",
        "-+.0123456789",
    ),
    ("merge", r"^<<$", "<"),
)


class PlainLoader(yaml.SafeLoader):
    """A safe loader by those rules."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Construct a mapping; the values of `LABEL_FIELDS` are texts."""
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if isinstance(key, yaml.ScalarNode) and key.value in LABEL_FIELDS:
                    _make_texts(value)
        return super().construct_mapping(node, deep)

    def construct_yaml_float(self, node: yaml.ScalarNode) -> float:
        """Construct a float; YAML 1.1 knows no exponent without a point and a sign."""
        text = str(node.value)
        try:
            return float(text)
        except ValueError:
            return super().construct_yaml_float(node)


PlainLoader.yaml_implicit_resolvers = {}
for _name, _pattern, _first in _RESOLVERS:
    PlainLoader.add_implicit_resolver(
        _TAG + _name, re.compile(_pattern), ["" if one == "\0" else one for one in _first]
    )
PlainLoader.add_constructor(_TAG + "float", PlainLoader.construct_yaml_float)


def _make_texts(node: yaml.Node) -> None:
    """Give a label, or each label of a list, the tag of a text. A label that is left out stays null."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            if isinstance(item, yaml.ScalarNode) and item.style is None and item.value:
                item.tag = _TAG + "str"
    elif isinstance(node, yaml.ScalarNode) and node.style is None and _NULL.match(node.value) is None:
        node.tag = _TAG + "str"
