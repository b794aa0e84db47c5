"""Hooks of an unstructured model: it counts the words of any text it is sent."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*")
TOP_WORDS = 10


def load_model(code_dir: str) -> frozenset[str]:
    """Return the words that are too common to count."""
    return frozenset((Path(code_dir) / "stopwords.txt").read_text(encoding="utf-8").split())


def score_unstructured(model: frozenset[str], data: str | bytes, **kwargs: Any) -> bytes | tuple[str, dict[str, str]]:
    """Count words.

    Text is answered as a JSON object, bytes (read as UTF-8) as the bytes of a table, one `word<tab>count` per line.
    A JSON request holds its text in the field `text`; ValueError is raised where it does not.
    """
    if isinstance(data, bytes):
        _, top = counts(data.decode("utf-8", errors="replace"), model)
        return "".join(f"{word}\t{number}\n" for word, number in top).encode()
    text = text_of_json(data) if kwargs.get("mimetype") == "application/json" else data
    total, top = counts(text, model)
    answer = {"characters": len(text), "words": total, "top": [{"word": w, "count": n} for w, n in top]}
    return json.dumps(answer, ensure_ascii=False), {"mimetype": "application/json", "charset": "utf8"}


def counts(text: str, common: frozenset[str]) -> tuple[int, list[tuple[str, int]]]:
    """Return how many words a text has and the most frequent ones, ties in order of appearance."""
    words = WORD.findall(text.lower())
    return len(words), Counter(word for word in words if word not in common).most_common(TOP_WORDS)


def text_of_json(data: str) -> str:
    """Return the field `text` of a JSON object."""
    try:
        document = json.loads(data)
    except json.JSONDecodeError as error:
        raise ValueError(f"the request is not JSON: {error}") from error
    text = document.get("text") if isinstance(document, dict) else None
    if not isinstance(text, str):
        raise ValueError('a JSON request must be {"text": "..."}')  # noqa: TRY004  a client's mistake, not a wrong type
    return text
