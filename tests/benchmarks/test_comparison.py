"""The comparison of two checkouts: turns, verdicts, the table, and the other checkout's coming and going."""

import contextlib
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from benchmarks.against import main
from benchmarks.checkout import CheckoutError, checked_out, current_checkout, environment, resolve
from benchmarks.comparison import Comparison, Quantity, Verdict, table, take_turns

RATE = Quantity("many connections", "requests/s", more_is_better=True)
TIME = Quantity("one connection, p50", "ms")
OLD = [100.0, 104.0, 96.0, 101.0, 99.0, 103.0, 98.0]


@pytest.mark.parametrize(
    ("quantity", "change", "verdict"),
    [
        (TIME, 1.0, Verdict.SAME),
        (TIME, 1.04, Verdict.SAME),  # as slow as the old checkout's slowest round
        (TIME, 1.05, Verdict.SLOWER),
        (TIME, 0.95, Verdict.FASTER),
        (RATE, 0.96, Verdict.SAME),
        (RATE, 0.95, Verdict.SLOWER),
        (RATE, 1.05, Verdict.FASTER),
    ],
)
def test_a_median_outside_the_range_of_the_old_values_is_a_difference(
    quantity: Quantity, change: float, verdict: Verdict
) -> None:
    comparison = Comparison(quantity, OLD, [value * change for value in OLD])
    assert comparison.ratio == pytest.approx(change)
    assert comparison.verdict is verdict


def test_one_bad_round_is_no_difference() -> None:
    assert Comparison(TIME, OLD, [*OLD[:-1], 900.0]).verdict is Verdict.SAME


def test_a_few_rounds_are_no_verdict() -> None:
    assert Comparison(TIME, [1.0] * 4, [9.0] * 4).verdict is Verdict.UNKNOWN
    assert Comparison(TIME, [1.0] * 5, [9.0] * 5).verdict is Verdict.SLOWER


def test_checkouts_take_turns() -> None:
    order: list[str] = []

    def measuring(name: str, value: float) -> Callable[[], dict[Quantity, float]]:
        def measure() -> dict[Quantity, float]:
            order.append(name)
            return {RATE: value + len(order), TIME: value}

        return measure

    said: list[str] = []
    rate, time = take_turns(3, measuring("old", 100), measuring("new", 200), said.append)
    assert order == ["old", "new"] * 3
    assert (rate.quantity, rate.old, rate.new) == (RATE, [101, 103, 105], [202, 204, 206])
    assert (time.quantity, time.old, time.new) == (TIME, [100] * 3, [200] * 3)
    assert said[-1] == "round 3 of 3, new: many connections 206 requests/s, one connection, p50 200 ms"


def test_the_table_shows_median_range_ratio_and_verdict() -> None:
    _, rate, time = table([Comparison(RATE, OLD, [50.0] * 7), Comparison(TIME, OLD, OLD)])
    assert rate.split("  ")[0] == "many connections, more is better"
    assert " ".join(rate.split()).endswith("100 (96-104) 50 (50-50) 0.500 SLOWER beyond the spread")
    assert " ".join(time.split()).endswith("ms 100 (96-104) 100 (96-104) 1.000 no difference beyond the spread")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with two commits, in place of this one."""
    folder = tmp_path / "repository"
    folder.mkdir()
    monkeypatch.setattr("benchmarks.checkout.ROOT", folder)
    git(folder, "init", "--quiet", "--initial-branch=main")
    for number in (1, 2):
        (folder / "file").write_text(f"{number}")
        git(folder, "add", "file")
        git(
            folder, "-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "--quiet", "-m", f"Commit {number}"
        )
    return folder


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout


def test_another_commit_is_there_for_a_while(repository: Path, tmp_path: Path) -> None:
    (repository / "file").write_text("changed")
    with contextlib.suppress(KeyboardInterrupt), checked_out(resolve("main~1"), tmp_path / "other") as checkout:
        assert checkout.title.endswith(" Commit 1")
        assert (checkout.folder / "file").read_text() == "1"
        assert str(tmp_path / "other") in git(repository, "worktree", "list")
        raise KeyboardInterrupt
    assert not (tmp_path / "other").exists()
    assert len(git(repository, "worktree", "list").splitlines()) == 1
    assert current_checkout().title.endswith(" Commit 2 (with uncommitted changes)")


@pytest.mark.parametrize("ref", ["no-such-branch", "--help", "", "HEAD:file"])
@pytest.mark.usefixtures("repository")
def test_what_is_no_commit_is_refused(ref: str) -> None:
    with pytest.raises(CheckoutError, match="there is no commit"):
        resolve(ref)


@pytest.mark.parametrize("arguments", [["no-such-branch"], ["HEAD", "--rounds=0"], ["HEAD", "--bench=none"]])
def test_what_cannot_be_compared_is_an_error(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.against.INTERRUPTS", ())
    assert main(arguments) == 1
    assert capsys.readouterr().err.startswith("error: ")


def test_a_server_is_started_without_the_settings_of_this_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MODELYARD_DATA_DIR", "VIRTUAL_ENV", "PYTHONPATH", "MODELYARD_SANDBOX"):
        monkeypatch.setenv(name, "x")
    found = environment(MODELYARD_PORT="1")
    assert {name for name in found if name.startswith("MODELYARD_")} == {"MODELYARD_SANDBOX", "MODELYARD_PORT"}
    assert not {"VIRTUAL_ENV", "PYTHONPATH"} & found.keys()
