"""Logs of runs: the bytes that the program wrote, while it writes them and afterwards."""

import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from modelyard.compute import log_reading
from modelyard.compute.log_reading import _events_of
from modelyard.compute.logs import LogFile
from tests.jobs.builders import Workshop, path_of

ODD = r"""
import os, sys
out = sys.stdout.buffer
out.write("gr\u00fc\u00df\n".encode() + b"bad \xff\xfe bytes\n" + b"nul \0 byte\n" + b"10%\r50%\r100%\n" + b"dos\r\n")
out.write(b"\x1b[31mred\x1b[0m\n\n" + b"x" * 200_000 + b"\n")
out.flush()
os.write(2, b"to stderr\n")
os.write(1, b"no newline at the end")
"""
WAITING = """
import os, time
for number in range(400):
    print("line", number, flush=True)
while not os.path.exists("go"):
    time.sleep(0.01)
"""
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z ")


def test_a_log_is_what_was_written(workshop: Workshop) -> None:
    run = workshop.run(workshop.a_job(ODD))
    answer = workshop.api.get(f"{path_of(run)}logs/")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert f"custom-job-run-{run['customJobId']}-{run['id']}.log" in answer.headers["Content-Disposition"]
    lines = answer.content.decode().split("\n")
    assert lines[:4] == ["grüß", "bad \ufffd\ufffd bytes", "nul \0 byte", "10%\r50%\r100%"]
    assert lines[4:7] == ["dos\r", "\x1b[31mred\x1b[0m", ""]
    assert "".join(lines[7:-3]) == "x" * 200_000, "longer lines are split"
    assert lines[-3:] == ["to stderr", "no newline at the end", ""]
    stamped = workshop.log(run, timestamps="true").split("\n")[:-1]
    assert all(STAMP.match(line) for line in stamped)
    assert [STAMP.sub("", line) for line in stamped] == lines[:-1]
    assert workshop.log(run, tail=2) == "to stderr\nno newline at the end\n"
    assert workshop.log(run, tail=0) == ""
    assert workshop.log(run, tail=1000) == answer.content.decode()
    assert STAMP.match(workshop.log(run, tail=1, timestamps="true"))
    for query in ("tail=-1", "tail=x", "follow=perhaps", "tail=100001"):
        assert workshop.api.get(f"{path_of(run)}logs/?{query}").status_code == 422
    followed = workshop.log(run, follow="true")
    assert "data: 10%\ndata: 50%\ndata: 100%\n\n" in followed
    assert followed.endswith('event: end\ndata: {"status":"succeeded"}\n\n')
    assert workshop.log(run, follow="true", tail=1).count("data: ") == 2

    path = f"{path_of(run)}logs/"
    assert workshop.api.delete(path).status_code == 204
    assert [workshop.api.get(path).status_code, workshop.api.delete(path).status_code] == [404, 404]
    assert workshop.read(run)["status"] == "succeeded"


def test_over_the_limit_the_newest_is_kept_and_says_so(a_workshop: Callable[..., Workshop]) -> None:
    workshop = a_workshop(max_log_bytes=200_000)
    flood = "for number in range(20_000): print(f'line {number} ' + 'x' * 40)\n"
    with workshop.working():
        run = workshop.run(workshop.a_job(flood, maxRetries=0))
        log = workshop.log(run)
    first, *lines = log.splitlines()
    assert re.fullmatch(r"\[modelyard\] \d+ bytes of older output were dropped", first)
    assert lines[-1].startswith("line 19999 ")
    numbers = [int(line.split()[1]) for line in lines]
    assert numbers == list(range(numbers[0], 20_000)), "whole lines, without a gap"
    assert len(log) < 200_000
    stamped = workshop.log(run, timestamps="true").splitlines()
    assert all(STAMP.match(line) for line in stamped)
    followed = workshop.log(run, follow="true")
    assert followed.count("data: line") == len(lines)
    assert "bytes of older output were dropped" in followed


def test_reading_while_the_run_ends_loses_nothing(workshop: Workshop, monkeypatch: Any) -> None:
    """The output moves from the workload's folder into a blob; whoever reads just then sees it all the same."""
    for query in ({}, {"tail": 500}):
        run = workshop.start(workshop.a_job(WAITING))
        workshop.await_log(run, "line 399")
        work = workshop.executor.work(str(workshop.row(run).workload_id))
        with _at_first_look(monkeypatch, lambda run=run, work=work: (_touch(work), workshop.ended(run))):
            text = workshop.log(run, **query)
        assert text.splitlines() == [f"line {number}" for number in range(400)]


@contextmanager
def _at_first_look(monkeypatch: Any, happens: Callable[[], Any]) -> Iterator[None]:
    """Has something happen just before a log in a workload's folder is read."""
    done: list[bool] = []
    with monkeypatch.context() as patch:
        for name in ("part", "tail"):
            original = getattr(LogFile, name)

            def late(self: LogFile, *arguments: Any, original: Any = original, **options: Any) -> Any:
                if not done:
                    done.append(True)
                    happens()
                return original(self, *arguments, **options)

            patch.setattr(LogFile, name, late)
        yield


def _touch(work: Any) -> None:
    (work / "go").touch()


def test_followers_take_turns_and_leave_time_for_others(workshop: Workshop, monkeypatch: Any) -> None:
    """Making events of much output is work: one follower at a time does it, and never where requests are answered."""
    run = workshop.run(workshop.a_job("for number in range(200_000): print('line', number)\n"))
    made_in: list[str] = []
    at_once = [0, 0]

    def events_of(text: str) -> bytes:
        at_once[0] += 1
        at_once[1] = max(at_once)
        made_in.append(threading.current_thread().name)
        try:
            return _events_of(text)
        finally:
            at_once[0] -= 1

    monkeypatch.setattr(log_reading, "_events_of", events_of)
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda _: workshop.log(run, follow="true"), range(3)))
    assert [answer.count("data: line ") for answer in answers] == [200_000] * 3
    assert at_once == [0, 1]
    assert all("AnyIO worker thread" in name for name in made_in)


def test_a_line_is_one_event() -> None:
    assert _events_of("a\nb\r\nc\rd\n\n") == b"data: a\n\ndata: b\n\ndata: c\ndata: d\n\ndata: \n\n"
