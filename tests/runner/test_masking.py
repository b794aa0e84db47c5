"""Secrets in the messages that are made of exceptions."""

import json
import subprocess
import sys

from modelyard_runner.masking import texts_to_mask

SECRET = 'it\'s "quoted"\nsecond-line'
KEY = json.dumps({"client_email": "robot@example", "private_key": "-----BEGIN\nabcdefgh\n"})
DESCRIBE = """
import os
from modelyard_runner.problems import describe
secret = os.environ.pop("DB_PASSWORD")
print(describe(ValueError({"user": os.environ["DB_USER"], "password": secret})))
"""


def test_what_is_masked() -> None:
    environment = {"A": SECRET, "B": "abc", "C": KEY, "D": "public"}
    texts = texts_to_mask(environment | {"MODELYARD_SECRET_VARIABLES": "A,B,C,GONE"})
    assert {"second-line", 'it\'s "quoted"', KEY, "abcdefgh"} <= set(texts)
    assert not {"abc", "public", "robot@example", ""} & set(texts)
    assert texts == sorted(texts, key=len, reverse=True)
    assert texts_to_mask(environment) == []


def test_an_exception_is_described_without_secrets() -> None:
    environment = {"DB_USER": "anna", "DB_PASSWORD": SECRET, "MODELYARD_SECRET_VARIABLES": "DB_PASSWORD"}
    told = subprocess.run(
        [sys.executable, "-c", DESCRIBE], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert told.stdout == "ValueError: {'user': 'anna', 'password': '***'}\n"
