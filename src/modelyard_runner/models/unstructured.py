"""A model for anything: bytes in, bytes out, through `score_unstructured`. Source: supporting-endpoints.md C.3, D.3."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelyard_runner.models.artifacts import load_artifact
from modelyard_runner.models.hooks import Hook, Hooks, call_user_code
from modelyard_runner.problems import LoadError, ModelFault
from modelyard_runner.wire.payload import decode_text, parse_content_type

DEFAULT_CHARSET = "utf8"


@dataclass(slots=True)
class UnstructuredAnswer:
    """Bytes and the content type to send them with."""

    body: bytes
    content_type: bytes


class UnstructuredModel:
    """A loaded model. Called from one thread only."""

    def __init__(self, hooks: Hooks, score: Hook, model: Any) -> None:
        self.hooks = hooks
        self._score = score
        self._model = model

    def answer(
        self, body: bytes, content_type: bytes, query: dict[str, str], headers: dict[str, str]
    ) -> UnstructuredAnswer:
        """Call the hook: with text for `text/*`, JSON and bodies without a content type, else with bytes.

        Raises Refusal 400 for text that is not in its charset, ModelFault for a result that is neither text nor bytes.
        """
        kind = parse_content_type(content_type)
        mimetype = kind.mimetype or "text/plain"
        charset = kind.charset or DEFAULT_CHARSET
        is_text = mimetype.startswith("text/") or mimetype == "application/json"
        data = decode_text(body, charset) if is_text else body
        result = self._score(self._model, data, mimetype=mimetype, charset=charset, query=query, headers=headers)
        return _answer_of(result)


def _answer_of(result: Any) -> UnstructuredAnswer:
    details: dict[str, Any] = {}
    if isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], dict):
        result, details = result
    if not isinstance(result, str | bytes | bytearray):
        raise ModelFault(f"score_unstructured returned a {type(result).__name__}; it has to return str or bytes.")
    charset = str(details.get("charset") or DEFAULT_CHARSET)
    default = "text/plain" if isinstance(result, str) else "application/octet-stream"
    mimetype = str(details.get("mimetype") or default)
    content_type = f"{mimetype}; charset={charset}"
    if not content_type.isascii() or not content_type.isprintable():
        raise ModelFault(f"score_unstructured returned {content_type!r} as its mimetype and charset.")
    try:
        body = result.encode(charset) if isinstance(result, str) else bytes(result)
    except (LookupError, UnicodeError) as error:
        raise ModelFault(f"score_unstructured returned text that is not {charset}: {error}.") from error
    return UnstructuredAnswer(body, content_type.encode())


def load_unstructured_model(code_dir: Path, hooks: Hooks) -> UnstructuredModel:
    """Load a model from its code folder; without `load_model` a serialized model is loaded when there is one.

    Raises LoadError with the reason.
    """
    if hooks.score_unstructured is None:
        raise LoadError("An unstructured model needs a score_unstructured hook in custom.py.")
    if hooks.load_model is not None:
        model = call_user_code("load_model", hooks.load_model, str(code_dir))
        if model is None:
            raise LoadError("load_model returned None; it has to return the model.")
    else:
        model = load_artifact(code_dir, required=False)
    return UnstructuredModel(hooks, hooks.score_unstructured, model)
