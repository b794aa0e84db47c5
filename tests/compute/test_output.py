"""The supervisor's output, byte by byte: however a text is cut on its way, the log is the same."""

import itertools
import json
import os
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelyard.compute.logs import LogFile
from modelyard.compute.supervisor.output import Log, Masker, OutputPump

SECRETS = ["token-one", "token-one-and-more", 'quo"ted\tsecret', "first line\nsecond line\n", "abc"]
WORDS = st.sampled_from([*SECRETS, "\n", "plain", "token-", "one", "é", " ", '"', "first line", "second", " line"])


def _log(folder: Path, pieces: list[bytes], secrets: list[str], log_bytes: int = 10**6) -> str:
    log = Log(str(folder), log_bytes)
    read_fd, write_fd = os.pipe()
    os.set_blocking(read_fd, False)
    pump = OutputPump(read_fd, log, Masker(secrets))
    for piece in pieces:
        os.write(write_fd, piece)
        pump.pump()
    os.close(write_fd)
    pump.drain(5)
    log.close()
    return LogFile(folder).read(0, 10**7, times=False).decode()


@given(words=st.lists(WORDS, max_size=40), cuts=st.lists(st.integers(0, 400), max_size=8))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
def test_cutting_changes_nothing_and_no_secret_survives(tmp_path: Path, words: list[str], cuts: list[int]) -> None:
    text = "".join(words)
    data = text.encode()
    borders = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[a:b] for a, b in itertools.pairwise(borders)]
    folder = tmp_path / os.urandom(8).hex()
    logged = _log(folder, pieces, SECRETS)
    for secret in ("token-one", 'quo"ted\tsecret', "first line", "second line"):
        assert secret not in logged
    assert logged == _log(tmp_path / os.urandom(8).hex(), [data], SECRETS)
    if "*" not in logged:
        assert logged == (text if text.endswith("\n") or not text else text + "\n")


def test_secret_across_the_border_of_a_long_line_is_masked(tmp_path: Path) -> None:
    for before in range(65536 - 12, 65536 + 2):
        text = "x" * before + "token-one" + "y" * 65536
        pieces = [text[begin : begin + 13_107].encode() for begin in range(0, len(text), 13_107)]
        logged = _log(tmp_path / str(before), pieces, ["token-one"])
        assert "token-one" not in logged.replace("\n", "")
        assert logged.replace("\n", "") == "x" * before + "***" + "y" * 65536


def test_oldest_half_of_a_full_log_goes(tmp_path: Path) -> None:
    lines = [f"line {n}\n".encode() for n in range(2000)]
    logged = _log(tmp_path / "log", lines, [], log_bytes=20_000)
    notice, *kept = logged.splitlines()
    assert notice.startswith("[modelyard] ")
    assert kept[-1] == "line 1999"
    assert kept == [f"line {n}" for n in range(2000 - len(kept), 2000)]
    assert 200 < len(kept) < 700
    assert sum(path.stat().st_size for path in (tmp_path / "log").iterdir()) <= 20_000


def test_log_that_is_not_there_is_empty(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "none")
    assert (log.size, log.first_offset, log.read(), log.tail(5)) == (0, 0, b"", [])


def test_a_secret_is_masked_as_it_is_and_as_json_and_python_write_it() -> None:
    secret = 'tab\there "quoted" it\'s ü\nsecond line'
    masker = Masker([secret])
    for shown in (secret, json.dumps(secret), json.dumps(secret, ensure_ascii=False), repr({"a": secret})):
        masked = masker.mask(shown.encode()).decode()
        assert "quoted" not in masked, shown
        assert "second" not in masked, shown
