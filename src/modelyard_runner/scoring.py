"""Scoring of a file without a server, for trying a model out."""

import sys
import traceback
from typing import TYPE_CHECKING

from modelyard_runner.models.backend import load_model
from modelyard_runner.models.unstructured import UnstructuredModel
from modelyard_runner.options import ScoreOptions
from modelyard_runner.problems import LoadError, Refusal, describe
from modelyard_runner.wire.answers import Answers
from modelyard_runner.wire.payload import read_payload

if TYPE_CHECKING:
    from modelyard_runner.models.structured import TableModel

CONTENT_TYPES = {
    ".json": b"application/json",
    ".jsonl": b"application/x-ndjson",
    ".ndjson": b"application/x-ndjson",
    ".csv": b"text/csv",
    ".txt": b"text/plain",
}


def score(options: ScoreOptions) -> int:
    """Score the input file and write the output; returns 0, or 1 with the reason on standard error."""
    try:
        body = options.input.read_bytes()
        model = load_model(options.code_dir, options.model)
        result = _score(model, body, options)
        if options.output is None:
            sys.stdout.buffer.write(result)
        else:
            options.output.write_bytes(result)
    except OSError as error:
        sys.stderr.write(f"{error.filename}: {error.strerror}\n")
        return 1
    except (LoadError, Refusal) as error:
        sys.stderr.write(f"{error.message}\n")
        return 1
    except BaseException as error:  # noqa: BLE001  whatever the model's code raises is reported, not lost
        traceback.print_exc()
        sys.stderr.write(f"The model failed: {describe(error)}\n")
        return 1
    return 0


def _score(model: "TableModel | UnstructuredModel", body: bytes, options: ScoreOptions) -> bytes:
    suffix = options.input.suffix.lower()
    if isinstance(model, UnstructuredModel):
        content_type = CONTENT_TYPES.get(suffix, b"application/octet-stream")
        return model.answer(body, content_type, {}, {}).body
    payload = read_payload(body, CONTENT_TYPES.get(suffix, b""), any_form=model.hooks.read_input_data is not None)
    predictions = model.predict(model.frame_of(payload))
    answers = Answers(model.target)
    if options.output is not None and options.output.suffix.lower() == ".json":
        return answers.json(predictions, None, None)
    return answers.csv(predictions, None, None)
