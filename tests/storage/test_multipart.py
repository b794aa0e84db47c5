"""Forms: whatever way the bytes arrive, the same form comes out, or nothing."""

import asyncio
import hashlib
import itertools
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.kernel.errors import BadRequest, Invalid, ModelyardError, TooLarge
from modelyard.kernel.multipart import Form, FormLimits, boundary_of, read_form
from modelyard.kernel.sink_queue import BATCH_BYTES, FileSink
from modelyard.kernel.uploads import pair_files
from modelyard.storage.blobs import Blob
from modelyard.storage.local_blobs import LocalBlobStore

BOUNDARY = "xXBoundaryXx"
CONTENT_TYPE = f"multipart/form-data; boundary={BOUNDARY}"
MIB = 1 << 20


class MemorySink:
    """A sink that remembers what was done to it."""

    def __init__(self, *, fails: bool = False) -> None:
        self.data = bytearray()
        self.state = "open"
        self.fails = fails
        self.threads: set[int] = set()

    def write(self, data: bytes, /) -> None:
        assert self.state == "open"
        self.threads.add(threading.get_ident())
        if self.fails:
            raise OSError(28, "No space left on device")
        self.data += data

    def finish(self) -> bytes:
        assert self.state == "open"
        self.state = "finished"
        return bytes(self.data)

    def abort(self) -> None:
        assert self.state == "open"
        self.state = "aborted"


class Sinks:
    def __init__(self, *, fails: bool = False) -> None:
        self.made: list[MemorySink] = []
        self.fails = fails

    def __call__(self, field_name: str, filename: str | None, /) -> FileSink[bytes]:
        self.made.append(MemorySink(fails=self.fails))
        return self.made[-1]


def part(name: str, value: str | bytes, *more: str, kind: str | None = None) -> bytes:
    """A part: ``more`` goes into its Content-Disposition after the name."""
    head = "; ".join([f'Content-Disposition: form-data; name="{name}"', *more])
    head += f"\r\nContent-Type: {kind}" if kind else ""
    return head.encode() + b"\r\n\r\n" + (value if isinstance(value, bytes) else value.encode())


def file_part(name: str, filename: str, data: bytes) -> bytes:
    return part(name, data, f'filename="{filename}"', kind="application/octet-stream")


def body(*parts: bytes) -> bytes:
    delimiter = f"--{BOUNDARY}".encode()
    return b"".join(delimiter + b"\r\n" + item + b"\r\n" for item in parts) + delimiter + b"--\r\n"


def read(
    data: bytes | Iterable[bytes], open_file: Any = None, limits: FormLimits | None = None, **more: Any
) -> Form[Any]:
    async def stream() -> AsyncIterator[bytes]:
        for chunk in [data] if isinstance(data, bytes) else data:
            yield chunk

    content_type = more.pop("content_type", CONTENT_TYPE)
    return asyncio.run(read_form(stream(), content_type, limits or FormLimits(), open_file or Sinks(), **more))


def split(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(places)]


def summary(form: Form[Any]) -> tuple[Any, ...]:
    return (
        [(item.name, item.value) for item in form.fields],
        [(item.name, item.filename, item.stored, item.size_bytes) for item in form.files],
    )


MIXED = body(
    part("isMajorUpdate", "True"),
    part("gitModelVersion", json.dumps({"refName": "é"}), kind="application/json"),
    file_part("file", "custom.py", b"print()\r\n--xXBoundary\r\n"),
    part("filePath", "custom.py"),
    file_part("file", "b.bin", bytes(range(256)) * 10),
    part("filePath", "data/b.bin"),
    file_part("file", "empty", b""),
    part("filePath", "empty"),
)


def test_fields_and_files_in_their_order() -> None:
    form = read(MIXED)
    assert form.values("gitModelVersion") == ['{"refName": "\\u00e9"}']
    assert [(item.filename, item.size_bytes) for item in form.files] == [
        ("custom.py", 23),
        ("b.bin", 2560),
        ("empty", 0),
    ]
    assert [path for path, _ in pair_files(form)] == ["custom.py", "data/b.bin", "empty"]
    assert dict(pair_files(form))["data/b.bin"] == bytes(range(256)) * 10


@given(st.lists(st.integers(0, 1 << 16), max_size=40))
@settings(max_examples=150)
def test_chunk_boundaries_change_nothing(cuts: list[int]) -> None:
    assert summary(read(split(MIXED, cuts))) == summary(read(MIXED))


def test_byte_by_byte() -> None:
    assert summary(read([MIXED[i : i + 1] for i in range(len(MIXED))])) == summary(read(MIXED))


@given(
    st.lists(st.tuples(st.booleans(), st.binary(max_size=200) | st.sampled_from([b"\r\n", b"\r\n--", b"--xXB"]))),
    st.lists(st.integers(0, 1 << 16), max_size=10),
)
def test_what_was_sent_is_what_is_read(parts: list[tuple[bool, bytes]], cuts: list[int]) -> None:
    sent = [
        file_part("file", f"{number}", data) if is_file else part("text", data.hex())
        for number, (is_file, data) in enumerate(parts)
    ]
    form = read(split(body(*sent), cuts))
    assert [item.stored for item in form.files] == [data for is_file, data in parts if is_file]
    assert form.values("text") == [data.hex() for is_file, data in parts if not is_file]


@pytest.mark.parametrize("cut", [0, 1, 30, 200, len(MIXED) - 5])
def test_a_body_that_is_cut_off(cut: int) -> None:
    sinks = Sinks()
    with pytest.raises(BadRequest, match="cut off"):
        read(MIXED[:cut], sinks)
    assert "open" not in {sink.state for sink in sinks.made}


@pytest.mark.parametrize(
    "data",
    [
        b"hello",
        body(b"no colon\r\n\r\nx"),
        body(b"Content-Type: text/plain\r\n\r\nx"),
        body(b"Content-Disposition: attachment; name=x\r\n\r\nx"),
        body(b'Content-Disposition: form-data; name="\xff"\r\n\r\nx'),
        body(b'Content-Disposition: form-data; name="a"\r\nX-Long: ' + b"x" * 20_000 + b"\r\n\r\nx"),
        body(b'Content-Disposition: form-data; name="a"\r\n' + b"X-More: 1\r\n" * 50 + b"\r\nx"),
        body(b'Content-Disposition: form-data; name="a"\r\nContent-Length: 9\r\n\r\nx'),
        body(part("a", b"\xff\xfe")),
        body(part("a", "x", kind="text/plain; charset=klingon")),
        body(part("a", "x", kind="text/plain; charset=zlib")),
        body(part("a", "+2AA-", kind="text/plain; charset=utf-7")),
        body(part("a", "x..y", kind="text/plain; charset=idna")),
        body(part("a", "\\ud800", kind="text/plain; charset=unicode_escape")),
        body(part("file", "x", "filename*=utf-8''a%00b")),
        body(part("file", "x", "filename*=idna''x..y")),
        body(file_part("file", "a\0b", b"x")),
        body(part("file", "x", "filename*=klingon''x")),
        body(part("file", "x", "filename*=utf-8''%ff")),
    ],
)
def test_broken_bodies_are_400(data: bytes) -> None:
    with pytest.raises(BadRequest):
        read(data)


@pytest.mark.parametrize(
    "content_type",
    ["", "application/json", "multipart/form-data", "multipart/mixed; boundary=x", 'multipart/form-data; boundary=""'],
)
def test_other_content_types_are_400(content_type: str) -> None:
    with pytest.raises(BadRequest, match="Content-Type"):
        boundary_of(content_type)
    with pytest.raises(BadRequest, match="Content-Type"):
        read(b"", content_type=content_type)


def test_the_whole_form_is_limited_while_it_streams() -> None:
    sent = 0

    def endless() -> Iterable[bytes]:
        nonlocal sent
        yield b"--" + BOUNDARY.encode() + b"\r\n" + file_part("file", "big", b"")
        while True:
            sent += 64 << 10
            yield b"x" * (64 << 10)

    sinks = Sinks()
    with pytest.raises(TooLarge, match="10485760"):
        read(endless(), sinks, FormLimits(total_bytes=10 * MIB))
    assert sent <= 10 * MIB + (64 << 10)
    assert [sink.state for sink in sinks.made] == ["aborted"]


def test_a_content_length_over_the_limit_is_refused_before_a_byte_is_read() -> None:
    def never() -> Iterable[bytes]:
        pytest.fail("read")
        yield b""

    with pytest.raises(TooLarge, match="11 bytes; at most 10"):
        read(never(), limits=FormLimits(total_bytes=10), content_length=11)


@pytest.mark.parametrize(
    ("limits", "error", "field"),
    [
        (FormLimits(file_bytes=99), TooLarge, "file"),
        (FormLimits(files=2), Invalid, "file"),
        (FormLimits(field_bytes=99), TooLarge, "text"),
        (FormLimits(all_fields_bytes=199), TooLarge, "text"),
        (FormLimits(fields=1), Invalid, None),
    ],
)
def test_each_limit(limits: FormLimits, error: type[ModelyardError], field: str | None) -> None:
    data = body(*[file_part("file", f"{n}", b"x" * 100) for n in range(3)], *[part("text", "x" * 100)] * 2)
    sinks = Sinks()
    read(data, sinks, FormLimits(total_bytes=2000, file_bytes=100, files=3, field_bytes=100, fields=2))
    with pytest.raises(error) as caught:
        read(data, sinks, limits)
    assert "open" not in {sink.state for sink in sinks.made}
    assert not field or field in caught.value.errors


@pytest.mark.parametrize(
    ("disposition", "filename", "base_name"),
    [
        ('filename="a.py"', "a.py", "a.py"),
        ("filename=a.py", "a.py", "a.py"),
        ('filename="/home/me/my model/a.py"', "/home/me/my model/a.py", "a.py"),
        ('filename="C:\\\\data\\\\a.csv"', "a.csv", "a.csv"),
        ('filename="日本.py"', "日本.py", "日本.py"),
        ("filename=\"a.py\"; filename*=UTF-8''%E6%97%A5.py", "日.py", "日.py"),
        ("filename*=utf-8'en'na%20me.py", "na me.py", "na me.py"),
        ("filename*=iso-8859-1''%e9.py", "é.py", "é.py"),
        ('filename="a%22b.py"', 'a"b.py', 'a"b.py'),
    ],
)
def test_file_names_of_all_kinds_of_clients(disposition: str, filename: str, base_name: str) -> None:
    (item,) = read(body(part("file", "x", disposition))).files
    assert (item.filename, item.base_name, item.stored) == (filename, base_name, b"x")


def test_what_is_a_file_and_what_is_a_field() -> None:
    form = read(
        body(
            part("resources", "{}", kind="application/json"),
            part("raw", b"\xff", kind="application/octet-stream"),
            file_part("unused", "", b""),
            file_part("unnamed", "", b"x"),
            part("latin", b"\xe9", kind="text/plain; charset=latin-1"),
        )
    )
    assert summary(form) == (
        [("resources", "{}"), ("latin", "é")],
        [("raw", None, b"\xff", 1), ("unnamed", "", b"x", 1)],
    )


def test_a_sink_that_fails_is_aborted_and_its_error_comes_out() -> None:
    sinks = Sinks(fails=True)
    with pytest.raises(OSError, match="No space"):
        read([MIXED[:400], MIXED[400:]], sinks)
    assert [sink.state for sink in sinks.made] == ["aborted"]


def test_a_client_that_goes_away_leaves_nothing(tmp_path: Path) -> None:
    store = LocalBlobStore(tmp_path)

    def broken() -> Iterable[bytes]:
        yield b"--" + BOUNDARY.encode() + b"\r\n" + file_part("file", "big", b"x" * 5 * MIB)
        yield b"y" * 5 * MIB
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        read(broken(), lambda *_: store.writer())
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.name != ".lock"] == []


def test_a_cancelled_request_aborts_its_sink_after_its_thread_is_done() -> None:
    writing, go_on, sinks = threading.Event(), threading.Event(), Sinks()

    class Slow(MemorySink):
        def write(self, data: bytes, /) -> None:
            writing.set()
            assert go_on.wait(10)
            super().write(data)

    def make(*_: object) -> MemorySink:
        sinks.made.append(Slow())
        return sinks.made[0]

    async def stream() -> AsyncIterator[bytes]:
        yield b"--" + BOUNDARY.encode() + b"\r\n" + file_part("file", "big", b"x" * 2 * BATCH_BYTES)
        await asyncio.Event().wait()

    async def scenario() -> None:
        task = asyncio.create_task(read_form(stream(), CONTENT_TYPE, FormLimits(), make))
        assert await asyncio.to_thread(writing.wait, 10)
        task.cancel()
        await asyncio.sleep(0)
        assert sinks.made[0].state == "open"
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert sinks.made[0].state == "aborted"

    asyncio.run(scenario())


def test_files_are_written_by_threads_while_the_loop_runs(tmp_path: Path) -> None:
    store, digest, ticks = LocalBlobStore(tmp_path), hashlib.sha256(), 0
    chunk = bytes(range(256)) * 1024

    async def stream() -> AsyncIterator[bytes]:
        yield b"--" + BOUNDARY.encode() + b"\r\n" + file_part("file", "big", b"")
        for _ in range(400):
            digest.update(chunk)
            yield chunk
        yield f"\r\n--{BOUNDARY}--\r\n".encode()

    async def tick(longest: list[float]) -> None:
        nonlocal ticks
        loop = asyncio.get_running_loop()
        while True:
            start = loop.time()
            await asyncio.sleep(0)
            longest.append(loop.time() - start)
            ticks += 1

    async def scenario() -> tuple[Form[Blob], list[float]]:
        pauses: list[float] = []
        ticker = asyncio.create_task(tick(pauses))
        form = await read_form(stream(), CONTENT_TYPE, FormLimits(), lambda *_: store.writer())
        ticker.cancel()
        return form, pauses

    form, pauses = asyncio.run(scenario())
    assert form.files[0].stored == Blob(digest.hexdigest(), 400 * len(chunk))
    assert ticks > 20
    assert max(pauses) < 1.0


def paths_of(*paths: str, files: int | None = None, first: str = "paths") -> Form[Any]:
    sent = [part("filePath", path) for path in paths]
    bodies = [file_part("file", "same.py", b"x%d" % n) for n in range(len(paths) if files is None else files)]
    return read(body(*(sent + bodies if first == "paths" else bodies + sent)))


@pytest.mark.parametrize("first", ["paths", "files"])
def test_the_nth_file_goes_to_the_nth_path(first: str) -> None:
    form = paths_of("a.py", "./b/c.py", first=first)
    assert pair_files(form) == [("a.py", b"x0"), ("b/c.py", b"x1")]


def test_paths_as_one_json_list() -> None:
    assert pair_files(paths_of('["a.py", "b.py"]', files=2)) == [("a.py", b"x0"), ("b.py", b"x1")]
    assert pair_files(paths_of('["a.py"]')) == [("a.py", b"x0")]
    assert pair_files(paths_of("[id].tsx")) == [("[id].tsx", b"x0")]
    assert pair_files(paths_of("[1]")) == [("[1]", b"x0")]


def test_files_without_paths_keep_their_names() -> None:
    names = ["custom.py", "lib/a.py", "/home/me/model/data.csv"]
    form = read(body(*[file_part("file", name, b"x") for name in names]))
    assert [path for path, _ in pair_files(form)] == ["custom.py", "lib/a.py", "data.csv"]
    assert pair_files(read(body(part("x", "y")))) == []


@pytest.mark.parametrize(
    ("paths", "files"), [(["a"], 2), (["a", "b"], 1), (["a"], 0), (['["a", "b"]'], 1), (["[]"], 2)]
)
def test_different_numbers_are_told(paths: list[str], files: int) -> None:
    with pytest.raises(Invalid, match=f"^{files} 'file' parts but") as caught:
        pair_files(paths_of(*paths, files=files))
    assert set(caught.value.errors) == {"file", "filePath"}


def test_every_bad_path_is_told() -> None:
    with pytest.raises(Invalid) as caught:
        pair_files(paths_of("/a", "ok.py", "../b", "c\\d"))
    text = caught.value.errors["filePath"]
    for name in ("'/a' is absolute", "'../b' leaves", "holds a backslash"):
        assert name in text
    assert "ok.py" not in text
    with pytest.raises(Invalid, match="and 5 more"):
        pair_files(paths_of(*[f"/{n}" for n in range(25)]))


@pytest.mark.parametrize(("paths", "text"), [(["a", "a"], "given twice"), (["a", "a/b"], "is a file"), ([""], "empty")])
def test_paths_that_are_no_tree(paths: list[str], text: str) -> None:
    with pytest.raises(Invalid, match=text):
        pair_files(paths_of(*paths))


def test_a_thousand_files_and_no_more(tmp_path: Path) -> None:
    store = LocalBlobStore(tmp_path)
    make: Callable[..., Any] = lambda *_: store.writer()  # noqa: E731 -- shorter than a function
    parts = [file_part("file", f"{n}.py", b"same") for n in range(1000)]
    assert len(pair_files(read(body(*parts), make))) == 1000
    with pytest.raises(Invalid, match="at most 1000 files"):
        read(body(*parts, file_part("file", "x", b"")), make)
