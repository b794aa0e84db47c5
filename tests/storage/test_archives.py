"""Archives that clients send: good ones of every tool, and hostile ones."""

import gzip
import io
import stat
import struct
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.kernel.errors import Invalid
from modelyard.storage.archive_checks import ArchiveLimits
from modelyard.storage.archives import read_archive

MIB = 1 << 20
FILES = {"requirements.txt": b"numpy\n", "lib/a.py": b"x = 1\n" * 5000, "empty": b"", "daten/größe": bytes(70_000)}


def read(data: bytes, limits: ArchiveLimits | None = None) -> dict[str, bytes]:
    return {path: file.read() for path, file in read_archive(io.BytesIO(data), limits or ArchiveLimits())}


def a_zip(files: dict[str, bytes], change: Callable[[zipfile.ZipInfo], None] | None = None, **more: Any) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", **more) as archive:
        for name, data in files.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = archive.compression
            if change:
                change(info)
            archive.writestr(info, data)
    return buffer.getvalue()


def a_tar(members: dict[str, bytes] | list[tarfile.TarInfo], mode: str = "w", form: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode, format=form) as archive:  # type: ignore[call-overload]
        for item in members.items() if isinstance(members, dict) else [(None, item) for item in members]:
            if isinstance(item[1], tarfile.TarInfo):
                archive.addfile(item[1], io.BytesIO(bytes(item[1].size)))
            else:
                info = tarfile.TarInfo(item[0])
                info.size = len(item[1])
                archive.addfile(info, io.BytesIO(item[1]))
    return buffer.getvalue()


def a_member(name: str, **values: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    for key, value in values.items():
        setattr(info, key, value)
    return info


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip(compression: int) -> None:
    assert read(a_zip(FILES, compression=compression)) == FILES


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_a_tar(mode: str, form: int) -> None:
    assert read(a_tar(FILES, mode, form)) == FILES


def test_a_zip_made_for_large_files() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, archive.open("a", "w", force_zip64=True) as member:
        member.write(b"x" * 10)
    assert read(buffer.getvalue()) == {"a": b"x" * 10}


def test_folders_and_dots_in_front_are_dropped() -> None:
    folder = a_member("./", type=tarfile.DIRTYPE)
    assert read(a_tar([folder, a_member("./lib", type=tarfile.DIRTYPE), a_member("./lib/a", size=3)])) == {
        "lib/a": bytes(3)
    }
    assert read(a_zip({"lib/": b"", "lib/a": b"x", "./b": b"y"})) == {"lib/a": b"x", "b": b"y"}


def test_long_names_and_global_headers() -> None:
    name = "/".join(["folder" * 10] * 5) + "/ü.py"
    assert list(read(a_tar({name: b"x"}, form=tarfile.GNU_FORMAT))) == [name]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", pax_headers={"comment": "0" * 40}) as archive:
        archive.addfile(a_member(name, size=1), io.BytesIO(b"x"))
    assert read(buffer.getvalue()) == {name: b"x"}


def test_members_may_be_skipped_or_read_in_part() -> None:
    for data in (a_zip(FILES), a_tar(FILES), a_tar(FILES, "w:gz")):
        assert [path for path, _ in read_archive(io.BytesIO(data), ArchiveLimits())] == list(FILES)
        parts = {path: file.read(3) for path, file in read_archive(io.BytesIO(data), ArchiveLimits())}
        assert parts == {path: content[:3] for path, content in FILES.items()}


@pytest.mark.parametrize("make", [a_zip, a_tar])
@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../x", "a/../../x", "a\\b", "C:/x", "a//b", "a/./b", "x" * 256, "a\nb", "./../x"]
)
def test_names_that_are_no_relative_paths(make: Callable[[dict[str, bytes]], bytes], name: str) -> None:
    with pytest.raises(Invalid, match="its member"):
        read(make({"ok": b"", name: b"x"}))


def test_a_name_cut_by_a_nul_is_not_read_as_another_one() -> None:
    data = a_zip({"a.pyXb": b"x"}).replace(b"a.pyXb", b"a.py\0b")
    with pytest.raises(Invalid, match=r"'a.py\\x00b' holds a control character"):
        read(data)


@pytest.mark.parametrize("name", ["../", "/", "a/../"])
def test_folders_that_escape(name: str) -> None:
    with pytest.raises(Invalid, match="its member"):
        read(a_zip({"ok": b"", name: b""}))
    with pytest.raises(Invalid, match="its member"):
        read(a_tar([a_member("ok"), a_member(name, type=tarfile.DIRTYPE)]))


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (tarfile.SYMTYPE, "'evil' is a link to '/etc/passwd'"),
        (tarfile.LNKTYPE, "'evil' is a link"),
        (tarfile.CHRTYPE, "'evil' is a device"),
        (tarfile.BLKTYPE, "'evil' is a device"),
        (tarfile.FIFOTYPE, "'evil' is a device"),
        (b"Z", "'evil' is a device, a pipe or unknown"),
        (tarfile.GNUTYPE_SPARSE, "'evil' is stored as a sparse file"),
    ],
)
def test_tar_members_that_are_no_files(kind: bytes, text: str) -> None:
    with pytest.raises(Invalid, match=text):
        read(a_tar([a_member("ok"), a_member("evil", type=kind, linkname="/etc/passwd")], form=tarfile.GNU_FORMAT))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFSOCK])
def test_zip_members_that_are_no_files(kind: int) -> None:
    def change(info: zipfile.ZipInfo) -> None:
        info.create_system, info.external_attr = 3, (kind | 0o777) << 16

    with pytest.raises(Invalid, match="'evil' is a"):
        read(a_zip({"evil": b"/etc/passwd"}, change))


def directory_offset(data: bytes) -> int:
    return data.index(b"PK\x01\x02")


def patched(data: bytes, offset: int, form: str, value: int) -> bytes:
    size = struct.calcsize(form)
    return data[:offset] + struct.pack(form, value) + data[offset + size :]


def test_encrypted_members() -> None:
    data = a_zip({"secret": b"x"})
    data = patched(patched(data, 6, "<H", 1), directory_offset(data) + 8, "<H", 1)
    with pytest.raises(Invalid, match="'secret' is encrypted"):
        read(data)


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_inside_a_zip(compression: int) -> None:
    with pytest.raises(Invalid, match="'a' is compressed by"):
        read(a_zip({"a": b"x" * 100}, compression=compression))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("names", [("a", "a"), ("a", "./a"), ("é", "e\u0301")])
def test_a_name_that_is_there_twice(names: tuple[str, str]) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    for data in (buffer.getvalue(), a_tar([a_member(name) for name in names])):
        with pytest.raises(Invalid, match="is there twice"):
            read(data)


@pytest.mark.parametrize("make", [a_zip, a_tar])
def test_a_file_where_a_folder_must_be(make: Callable[[dict[str, bytes]], bytes]) -> None:
    with pytest.raises(Invalid, match="'a' is a file, so 'a/b' cannot be in it"):
        read(make({"a/b": b"", "a": b""}))


def test_a_header_that_contradicts_the_directory() -> None:
    data = a_zip({"good.py": b"x" * 100})
    for offset, form, value in [
        (8, "<H", 8),
        (14, "<I", 1),
        (18, "<I", 99),
        (22, "<I", 99),
        (30, "<B", 65),
        (6, "<H", 8),
    ]:
        with pytest.raises(Invalid, match="contradicts the directory"):
            read(patched(data, offset, form, value))


def test_members_that_share_bytes() -> None:
    data = a_zip({"a": b"x" * 500, "b": b"x" * 500})
    start = directory_offset(data)
    second = data.index(b"PK\x01\x02", start + 1)
    overlapping = patched(data, second + 42, "<I", 0)
    with pytest.raises(Invalid, match=r"overlaps|contradicts"):
        read(overlapping)
    larger = patched(patched(data, start + 20, "<I", 5000), start + 24, "<I", 5000)
    larger = patched(patched(larger, 18, "<I", 5000), 22, "<I", 5000)
    with pytest.raises(Invalid, match="overlaps"):
        read(larger)


def test_a_quoted_overlap() -> None:
    """The second header lies inside the first member's stored data: each is fine by itself."""
    inner = a_zip({"b": b"y" * 50})
    inner_member = inner[: directory_offset(inner)]
    data = a_zip({"a": inner_member})
    at = data.index(inner_member)
    start = directory_offset(data)
    record = inner[directory_offset(inner) : inner.index(b"PK\x05\x06")]
    record = patched(record, 42, "<I", at)
    end = data.index(b"PK\x05\x06")
    both = data[:end] + record + data[end:]
    tail = both.index(b"PK\x05\x06")
    both = patched(patched(both, tail + 8, "<H", 2), tail + 10, "<H", 2)
    both = patched(both, tail + 12, "<I", tail - start)
    with zipfile.ZipFile(io.BytesIO(both)) as archive:
        assert archive.namelist() == ["a", "b"]
    with pytest.raises(Invalid, match="'b' overlaps another"):
        read(both)


def test_a_size_that_is_a_lie() -> None:
    packed = zlib.compressobj(9, zlib.DEFLATED, -15)
    content = packed.compress(b"x" * 1000) + packed.flush()
    data = a_zip({"a": b"x" * 1000}, compression=zipfile.ZIP_DEFLATED)
    assert content in data
    start = directory_offset(data)
    for size in (900, 2000):
        changed = patched(patched(data, 22, "<I", size), start + 24, "<I", size)
        with pytest.raises(Invalid, match=r"'a' (is broken|has another size)"):
            read(changed)


@pytest.mark.parametrize(
    "make", [lambda files: a_zip(files, compression=zipfile.ZIP_DEFLATED), lambda files: a_tar(files, "w:gz")]
)
def test_bombs(make: Callable[[dict[str, bytes]], bytes]) -> None:
    bomb = make({"bomb": bytes(80 * MIB)})
    assert len(bomb) < 200_000
    with pytest.raises(Invalid, match="250 times"):
        read(bomb)
    with pytest.raises(Invalid, match="unpacks to more than"):
        read(bomb, ArchiveLimits(total_bytes=MIB, ratio=100_000))
    with pytest.raises(Invalid, match="more than 3 files"):
        read(make({str(n): b"" for n in range(4)}), ArchiveLimits(members=3))


def test_too_many_folders() -> None:
    folders = {f"f{n}/": b"" for n in range(10)}
    with pytest.raises(Invalid, match="more than 6 members"):
        read(a_zip(folders), ArchiveLimits(members=3))


def test_a_huge_directory_is_not_read() -> None:
    data = a_zip({f"{'x' * 200}{n}": b"" for n in range(2000)})
    with pytest.raises(Invalid, match="its directory has more than"):
        read(data, ArchiveLimits(members=10))


def test_headers_that_claim_memory_or_time() -> None:
    block = bytearray(a_tar([a_member("x", type=tarfile.XHDTYPE, size=0)], form=tarfile.USTAR_FORMAT)[:512])

    def extended(content: bytes, size: int | None = None) -> bytes:
        block[124:136] = b"%011o\0" % (len(content) if size is None else size)
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)
        return bytes(block) + content + bytes(-len(content) % 512)

    start = time.monotonic()
    with pytest.raises(Invalid, match="a header of one of its members has more"):
        read(extended(b"", 7 << 30))
    with pytest.raises(Invalid, match="a header of one of its members is broken"):
        read(extended(b"1" * 50_000))
    with pytest.raises(Invalid, match="archive cannot be used"):
        read(extended(b"") * 2000)
    assert read(extended(b"1 " * 25_000) + a_tar({"a": b""})) == {"a": b""}
    assert time.monotonic() - start < 5


def test_archives_that_end_too_early() -> None:
    for data, ends in (
        (a_zip(FILES), [40, 200]),
        (a_tar(FILES), [300, 512, 1024, 2000]),
        (a_tar(FILES, "w:gz"), [5, 15, 100]),
    ):
        for end in ends:
            with pytest.raises(Invalid, match="archive cannot be used"):
                read(data[:end])
    with pytest.raises(Invalid, match="after its member 'a' it is broken or cut off"):
        read(a_tar({"a": b"x", "b": b"y"})[:1024] + b"garbage" * 200)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "it is empty"),
        (b"FROM python:3.11\n" * 100, "not a zip, a tar or a tar.gz"),
        (b"BZh91AY&SY", "compressed with bzip2"),
        (b"\xfd7zXZ\x00\x00\x00", "compressed with xz"),
        (gzip.compress(b"not a tar" * 100, mtime=0), "not a zip, a tar or a tar.gz"),
        (a_zip({}), "there is no file in it"),
        (a_zip({"folder/": b""}), "there is no file in it"),
        (a_tar({}), "there is no file in it"),
    ],
)
def test_what_is_no_archive(data: bytes, text: str) -> None:
    with pytest.raises(Invalid, match=text):
        read(data)


def test_an_archive_in_an_archive_is_a_plain_file() -> None:
    inner = a_zip({"../evil": b"x"})
    assert read(a_tar({"inner.zip": inner})) == {"inner.zip": inner}


@given(
    st.sampled_from(["zip", "tar", "gz"]),
    st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), min_size=1, max_size=6),
)
@settings(max_examples=300, deadline=None)
def test_damaged_archives_never_raise_anything_else(kind: str, damage: list[tuple[int, int]]) -> None:
    files = {"a.py": b"print(1)\n" * 30, "b/c.txt": b"hello" * 50}
    data = bytearray(
        {"zip": a_zip(files, compression=zipfile.ZIP_DEFLATED), "tar": a_tar(files)[:4096], "gz": a_tar(files, "w:gz")}[
            kind
        ]
    )
    for offset, value in damage:
        data[offset % len(data)] = value
    with suppress(Invalid):
        read(bytes(data))
