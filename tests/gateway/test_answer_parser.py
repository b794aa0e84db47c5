"""The parser of models' answers, without a gateway."""

import pytest

from modelyard.gateway.answer_parser import AnswerError, parse_any_head, parse_head

USUAL = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/csv; charset=utf-8\r\ncontent-length: 12\r\n"
    b"x-modelyard-rows: 1\r\nx-modelyard-execution-ms: 0.412"
)


def test_the_usual_head_is_read_as_any_other() -> None:
    assert parse_head(USUAL) == parse_any_head(USUAL)
    assert parse_head(USUAL.replace(b"x-modelyard-rows", b"X-Modelyard-Rows")) == parse_head(USUAL)
    for status in (b"404 Not Found", b"503 Service Unavailable", b"204 No Content", b"304 Not Modified"):
        head = USUAL.replace(b"200 OK", status)
        assert parse_head(head) == parse_any_head(head)


@pytest.mark.parametrize("length", [b"012", b"00", b"9" * 16])
def test_the_usual_head_is_read_as_strictly(length: bytes) -> None:
    head = USUAL.replace(b"length: 12", b"length: " + length)
    for parse in (parse_head, parse_any_head):
        with pytest.raises(AnswerError, match="content-length"):
            parse(head)
