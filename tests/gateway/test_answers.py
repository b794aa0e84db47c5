"""Answers of hostile models: the client gets exactly one well-formed answer or a closed connection."""

import base64
from collections.abc import Iterator
from pathlib import Path

import h11
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.gateway.wire import Wire, a_wire, answer_of, script

MIB = 1024 * 1024
OK = b"HTTP/1.1 200 OK\r\n"
FORGED = OK + b"content-length: 6\r\ncontent-type: text/plain\r\n\r\nforged"


@pytest.fixture(scope="module")
def wire(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    with a_wire(installed, tmp_path_factory.mktemp("wire")) as wire:
        yield wire


def check_others(wire: Wire) -> None:
    """Two other callers, at the same time, get their own answers, whatever somebody else's request did."""
    with wire.connect() as one, wire.connect() as two:
        one.send(wire.request(script(answer_of(b"one"))))
        two.send(wire.request(script(answer_of(b"two"))))
        found = [client.read_answer() for client in (one, two)]
    assert [answer and (answer[0], answer[2]) for answer in found] == [(200, b"one"), (200, b"two")]


LENGTHS = {
    "a leading zero": b"content-length: 070",
    "zeros": b"content-length: 00",
    "a trailing blank": b"content-length: 70 ",
    "a trailing tab": b"content-length: 70\t",
    "a plus": b"content-length: +70",
    "a minus": b"content-length: -70",
    "an underscore": b"content-length: 7_0",
    "hexadecimal": b"content-length: 0x46",
    "a list": b"content-length: 70, 70",
    "a list of different ones": b"content-length: 70, 0",
    "nothing": b"content-length:",
    "too many digits": b"content-length: " + b"9" * 30,
    "digits of another script": "content-length: \u0667\u0660".encode(),
    "the same twice": b"content-length: 70\r\ncontent-length: 70",
    "two": b"content-length: 70\r\ncontent-length: 0",
    "a blank before the colon": b"content-length : 70",
    "a folded line": b"content-length:\r\n 70",
    "a length and chunks": b"content-length: 70\r\ntransfer-encoding: chunked",
    "chunks and a length": b"transfer-encoding: chunked\r\ncontent-length: 70",
    "two codings": b"transfer-encoding: gzip, chunked",
    "chunked twice": b"transfer-encoding: chunked\r\ntransfer-encoding: chunked",
    "an unknown coding": b"transfer-encoding: xchunked",
    "identity": b"transfer-encoding: identity",
    "neither": b"x-nothing: 1",
    "a bare line feed": b"x-a: 1\ncontent-length: 70",
    "a bare carriage return": b"x-a: 1\rcontent-length: 70",
    "NUL": b"x-a: \x00\r\ncontent-length: 70",
    "no colon": b"nonsense\r\ncontent-length: 70",
    "an empty name": b": 1\r\ncontent-length: 70",
}


@pytest.mark.parametrize("kind", LENGTHS)
def test_a_length_that_can_be_read_in_two_ways_is_502(wire: Wire, kind: str) -> None:
    payload = b"x" * 5 + FORGED[:65]
    with wire.connect() as client:
        client.send(wire.request(script(OK + LENGTHS[kind] + b"\r\n\r\n" + payload, close=True)))
        found = client.read_answer()
        assert found is not None
        assert found[0] == 502, found
        assert b"The model's answer cannot be passed on: " in found[2]
        client.send(wire.request(script(answer_of(b"mine"))))
        own = client.read_answer()
    assert own is not None
    assert own[2] == b"mine"
    check_others(wire)


CHUNKS = {
    "no size": b"zz\r\nab\r\n0\r\n\r\n",
    "a sign": b"+2\r\nab\r\n0\r\n\r\n",
    "a blank": b"2 \r\nab\r\n0\r\n\r\n",
    "a prefix": b"0x2\r\nab\r\n0\r\n\r\n",
    "too large": b"f" * 17 + b"\r\nab",
    "longer than announced": b"2\r\nabc\r\n0\r\n\r\n",
    "a bare line feed": b"2\nab\n0\n\n",
    "an endless extension": b"2;" + b"a" * 5000 + b"\r\nab\r\n0\r\n\r\n",
    "more framing than body": b"1\r\na\r\n" * 40_000 + b"0\r\n\r\n",
    "a trailer that is none": b"2\r\nab\r\n0\r\nno trailer\r\n\r\n",
    "endless trailers": b"2\r\nab\r\n0\r\n" + b"a: b\r\n" * 12_000,
}


@pytest.mark.parametrize("kind", CHUNKS)
def test_chunks_that_break_the_rules_are_502_or_cut(wire: Wire, kind: str) -> None:
    with wire.connect() as client:
        client.send(wire.request(script(OK + b"transfer-encoding: chunked\r\n\r\n" + CHUNKS[kind])))
        found = client.read_answer()
        assert found is None or found[0] == 502, found
    check_others(wire)


EXACT = {
    "an extension": (b"transfer-encoding: chunked", b"3;a=b\r\none\r\n00\r\n\r\n", b"one"),
    "trailers": (b"transfer-encoding: chunked", b"3\r\none\r\n0\r\ncontent-length: 9\r\n\r\n", b"one"),
    "a length without a blank": (b"content-length:3", b"one", b"one"),
    "an empty answer": (b"content-length: 0", b"", b""),
    "an interim answer before": (b"content-length: 3", b"one", b"one"),
}


@pytest.mark.parametrize("kind", EXACT)
def test_what_the_rules_allow_is_passed_on(wire: Wire, kind: str) -> None:
    framing, payload, body = EXACT[kind]
    interim = b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" if kind == "an interim answer before" else b""
    found = wire.ask(script(interim + OK + framing + b"\r\n\r\n" + payload))
    assert found is not None
    assert (found[0], found[2]) == (200, body)


EXCESS = {
    "after a length": answer_of(b"true") + FORGED,
    "after chunks": OK + b"transfer-encoding: chunked\r\n\r\n4\r\ntrue\r\n0\r\n\r\n" + FORGED,
    "line ends": answer_of(b"true") + b"\r\n\r\n" + FORGED,
    "three answers": answer_of(b"true") + FORGED * 3,
}


@pytest.mark.parametrize("kind", EXCESS)
def test_bytes_after_an_answer_are_nobodys(wire: Wire, kind: str) -> None:
    for _ in range(3):
        found = wire.ask(script(EXCESS[kind]))
        assert found is not None
        assert found[2] == b"true"
        check_others(wire)


@pytest.mark.parametrize("name", ["predictions", "predictionsUnstructured"])
def test_an_answer_before_the_question_is_nobodys(wire: Wire, name: str) -> None:
    wire.model.late_allowed.clear()
    wire.model.late_sent.clear()
    first = wire.ask(script(answer_of(b"first"), late=base64.b64encode(FORGED).decode()))
    assert first is not None
    assert first[2] == b"first"
    wire.model.late_allowed.set()
    assert wire.model.late_sent.wait(10)
    with wire.connect() as client:
        client.send(wire.request(script(answer_of(b"second"))).replace(b"predictionsUnstructured", name.encode()))
        second = client.read_answer()
    assert second is not None
    assert second[2] == b"second"


NO_CONTENT = {
    "204": b"HTTP/1.1 204 No Content\r\ncontent-length: 6\r\n\r\nforged",
    "304": b"HTTP/1.1 304 Not Modified\r\ncontent-length: 6\r\n\r\nforged",
    "100": b"HTTP/1.1 100 Continue\r\ncontent-length: 6\r\n\r\nforged" + answer_of(b"true"),
    "101": b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n" + answer_of(b"true"),
    "no HTTP": b"\x00\xff\r\n\r\n" * 100,
    "a status that is none": b"HTTP/1.1 2000 OK\r\ncontent-length: 0\r\n\r\n",
    "another version": b"HTTP/2 200 OK\r\ncontent-length: 0\r\n\r\n",
    "too short": OK + b"content-length: 100\r\n\r\nforged",
}


@pytest.mark.parametrize("kind", NO_CONTENT)
def test_answers_that_cannot_have_a_body_bring_none(wire: Wire, kind: str) -> None:
    found = wire.ask(script(NO_CONTENT[kind], close=True))
    assert found is not None
    assert found[0] in {422, 502}, found
    assert b"forged" not in found[2].replace(b"begins with 'forged", b"")
    check_others(wire)


def test_an_answer_to_half_a_request_ends_the_models_connection(wire: Wire) -> None:
    """What follows of the body would be read as the beginning of the next caller's request, or the other way round."""
    order = script(answer_of(b"%SERIAL%"), early=True)
    with wire.connect() as attacker:
        attacker.send(wire.head("Transfer-Encoding: chunked"))
        piece = order + b"x" * (2 * MIB)
        attacker.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        early = attacker.read_answer()
        assert early is not None
        assert early[0] == 200
        serials = {(wire.ask(script(answer_of(b"%SERIAL%"))) or (0, {}, b""))[2] for _ in range(3)}
    assert early[2] not in serials


VALUES = {
    "long": b"content-type: text/" + b"a" * 9000,
    "not ASCII": "content-type: text/\u00e9".encode(),
    "a tab": b"content-type: text/a\tb",
    "empty": b"content-type:",
    "two": b"content-type: text/plain\r\ncontent-type: text/html",
    "an odd retry-after": b"retry-after: \xff",
    "an odd encoding": b"content-encoding: " + b"g" * 5000,
    "an odd disposition": b"content-disposition: \x80",
    "an odd count": b"x-modelyard-rows: -1",
    "a long count": b"x-modelyard-rows: " + b"9" * 4000,
    "an odd time": b"x-modelyard-execution-ms: inf",
}


@pytest.mark.parametrize("kind", VALUES)
def test_a_value_that_not_everybody_can_read_is_502(wire: Wire, kind: str) -> None:
    found = wire.ask(script(answer_of(b"true", VALUES[kind])))
    assert found is not None
    assert found[0] == 502
    assert VALUES[kind].partition(b":")[0] in found[2]


def test_headers_of_an_answer_are_limited(wire: Wire) -> None:
    found = wire.ask(script(answer_of(b"true", *(b"x-%d: %b" % (number, b"a" * 1000) for number in range(60)))))
    assert found is not None
    assert found[0] == 200
    before = wire.memory_bytes()
    for endless in (b"x-a: " + b"a" * 1000 + b"\r\n", b"a" * 1000, b"HTTP/1.1 100 Continue\r\n\r\n"):
        start = b"" if endless.startswith(b"HTTP") else OK
        found = wire.ask(script(start + endless, endless, endless=True))
        assert found is not None
        assert found[0] == 502
        assert b"65536 bytes" in found[2]
    assert wire.memory_bytes() - before < 32 * MIB


HEADERS = st.sampled_from(
    [
        *LENGTHS.values(),
        *(b"content-length: %d" % length for length in (0, 1, 5, 6, 70, 200)),
        b"transfer-encoding: chunked",
        b"connection: close",
        b"connection: keep-alive",
        b"content-type: text/plain",
        b"x-modelyard-rows: 1",
    ]
)
BODIES = st.one_of(
    st.binary(max_size=80),
    st.sampled_from([b"x" * 5 + FORGED[:65], b"x" * 5 + FORGED[:65]]),
    st.sampled_from([FORGED, b"", b"hello", *CHUNKS.values(), *(payload for _, payload, _ in EXACT.values())]),
)
STARTS = st.sampled_from([OK, OK, OK, b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", *NO_CONTENT.values()])


EXCESSES = st.sampled_from([b"", b"", FORGED])


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """What a model might send: an answer whose length is ambiguous, or almost an answer with a few bytes changed."""
    if draw(st.booleans()):
        payload = b"x" * 5 + FORGED[:65]
        return OK + draw(st.sampled_from(list(LENGTHS.values()))) + b"\r\n\r\n" + payload + draw(EXCESSES)
    headers = b"".join(header + b"\r\n" for header in draw(st.lists(HEADERS, max_size=3)))
    stream = bytearray(draw(STARTS) + headers + b"\r\n" + draw(BODIES) + draw(EXCESSES))
    for _ in range(draw(st.integers(0, 2))):
        position = draw(st.integers(0, len(stream)))
        stream[position : position + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(stream)


def body_by_h11(stream: bytes) -> bytes | None:
    """What another parser reads in the stream, or None if it finds no whole answer."""
    reader = h11.Connection(h11.CLIENT, max_incomplete_event_size=MIB)
    reader.send(h11.Request(method="POST", target="/", headers=[("host", "x"), ("content-length", "0")]))
    reader.send(h11.EndOfMessage())
    reader.receive_data(stream)
    body = b""
    try:
        while not isinstance(event := reader.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA or event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
                return None
            body += bytes(event.data) if isinstance(event, h11.Data) else b""
    except h11.RemoteProtocolError:
        return None
    return body


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(stream=streams(), cut=st.integers(0, 200), close=st.booleans())
def test_any_bytes_of_a_model_are_one_answer_or_none(wire: Wire, stream: bytes, cut: int, close: bool) -> None:
    is_whole = body_by_h11(stream) is not None
    with wire.connect() as client:
        client.send(wire.request(script(stream[:cut], stream[cut:], close=close or not is_whole)))
        found = client.read_answer()
        assert found is not None
        assert found[0] in {200, 422, 502, 503}
        if found[0] == 200:
            assert found[2] == body_by_h11(stream)
        client.send(wire.request(script(answer_of(b"my own"))))
        own = client.read_answer()
        assert own is not None
        assert (own[0], own[2]) == (200, b"my own")
    others = wire.ask(script(answer_of(b"another's")))
    assert others is not None
    assert (others[0], others[2]) == (200, b"another's")
