"""Hooks of a small text generator: a Markov chain over corpus.txt.

The runtime parameters GREETING and MAX_WORDS arrive as environment variables of the same names.
"""

import hashlib
import os
import random
from collections import defaultdict
from pathlib import Path
from typing import Any

import pandas as pd

Chain = dict[tuple[str, str], list[str]]


def load_model(code_dir: str) -> Chain:
    """Return, for every pair of neighbouring words in the corpus, the words that follow it there."""
    chain: Chain = defaultdict(list)
    words = (Path(code_dir) / "corpus.txt").read_text(encoding="utf-8").split()
    for first, second, third in zip(words, words[1:], words[2:], strict=False):
        chain[first, second].append(third)
    return dict(chain)


def score(data: pd.DataFrame, model: Chain, **kwargs: Any) -> pd.DataFrame:
    """Return one text per prompt, in the column that the metadata names as the target.

    Raises ValueError when there is no column promptText.
    """
    if "promptText" not in data.columns:
        raise ValueError("missing columns: promptText")
    greeting = os.environ.get("GREETING", "")
    max_words = int(float(os.environ.get("MAX_WORDS", "40")))
    prompts = data["promptText"].astype(object).where(data["promptText"].notna(), "").astype(str)
    texts = [f"{greeting} {continuation(prompt, model, max_words)}".strip() for prompt in prompts]
    return pd.DataFrame({"resultText": texts}, index=data.index, dtype=object)


def continuation(prompt: str, chain: Chain, max_words: int) -> str:
    """Return at most so many words that begin near the prompt's words and end with a sentence where they can.

    The same prompt always gets the same text: the dice are seeded with its digest.
    """
    dice = random.Random(hashlib.sha256(prompt.encode()).digest())
    asked = {bare(word) for word in prompt.split()}
    openings = [pair for pair in chain if pair[0][0].isupper()]
    fitting = [pair for pair in openings if asked & {bare(word) for word in pair if len(word) > 3}]
    words = list(dice.choice(fitting or openings))
    while len(words) < max_words and (words[-2], words[-1]) in chain:
        words.append(dice.choice(chain[words[-2], words[-1]]))
    words = words[:max_words]
    ends = [place for place, word in enumerate(words, start=1) if word.endswith(".")]
    return " ".join(words[: ends[-1]] if ends else words)


def bare(word: str) -> str:
    """Return a word in lower case without the punctuation around it."""
    return word.strip(".,;:!?\"'()").lower()
