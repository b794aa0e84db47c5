"""What tasks may put where the runner tells of a training: it is read as what it is, and leads nowhere else."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from modelyard.learning.progress import read_progress
from modelyard.learning.results import Result, read_output, read_result
from tests.learning.builders import Lab
from tests.learning.tasks import FILL, fitting

FAKED = """
if "/final/" in output_dir:
    import json, stat, struct
    from pathlib import Path
    out = Path(os.environ["MODELYARD_OUTPUT_DIR"])
    (out / "predictions").mkdir(exist_ok=True)
    (out / "predictions" / "final.bin").write_bytes(struct.pack("<d", 0.5) * 1000)
    (out / "artifacts" / "0").mkdir(parents=True)
    {deed}
    fit = {{"id": "final", "rows": 1, "trainRows": 1, "predictSeconds": 0.1, "tasks": [{{"columns": 1}}]}}
    fit |= {fields}
    for pipe in range(3, 64):
        try:
            if stat.S_ISFIFO(os.fstat(pipe).st_mode):
                os.write(pipe, json.dumps({{"result": fit}}).encode() + b"\\n")
        except OSError:
            pass
    os._exit(0)
open(output_dir + "/a.txt", "w").close()
"""


def faking(deed: str = "pass", fields: str = "{}") -> str:
    body = FAKED.format(deed=deed, fields=fields).strip().replace("\n", "\n        ")
    return fitting(body)


def work_of(tmp_path: Path) -> Path:
    (tmp_path / "work" / "output").mkdir(parents=True)
    return tmp_path / "work"


def test_no_link_leads_out_of_the_output_folder(tmp_path: Path) -> None:
    work = work_of(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "result.json").write_text('{"fits": [], "error": {"message": "theirs"}}')
    (elsewhere / "progress.jsonl").write_text('{"fit": "final", "task": 0, "phase": "fit"}\n')
    (work / "output" / "predictions").symlink_to(elsewhere)
    assert read_output(work, "predictions/result.json", 1000) is None
    (work / "output" / "predictions").unlink()
    (work / "output").rmdir()
    (work / "output").symlink_to(elsewhere)
    assert read_result(work) is None
    assert read_progress(work) == []


def test_pipes_and_folders_in_place_of_files_are_no_files(tmp_path: Path) -> None:
    work = work_of(tmp_path)
    path = work / "output" / "progress.jsonl"
    os.mkfifo(path)
    writer = os.open(path, os.O_RDWR)
    try:
        assert read_progress(work) == []
    finally:
        os.close(writer)
    path.unlink()
    path.mkdir()
    open_before = len(list(Path("/proc/self/fd").iterdir()))
    assert [read_progress(work) for _ in range(5)] == [[]] * 5
    assert len(list(Path("/proc/self/fd").iterdir())) == open_before


@pytest.mark.parametrize(
    "field",
    [{"rows": 10**30}, {"rows": -1}, {"tasks": [{"columns": 10**30}]}, {"tasks": [{"fitSeconds": 1e300}]}],
    ids=str,
)
def test_numbers_that_cannot_be_are_no_result(tmp_path: Path, field: dict[str, Any]) -> None:
    work = work_of(tmp_path)
    fit = {"id": "final", "rows": 5, "tasks": [{}]}
    (work / "output" / "result.json").write_text(json.dumps({"fits": [fit]}))
    assert read_result(work) is not None
    (work / "output" / "result.json").write_text(json.dumps({"fits": [fit | field]}))
    assert read_result(work) is None


def test_a_result_is_of_the_fits_that_were_asked_for(tmp_path: Path) -> None:
    work = work_of(tmp_path)
    fits = [{"id": name, "rows": 5, "tasks": [{}]} for name in ("fold-1", "final")]
    (work / "output" / "result.json").write_text(json.dumps({"fits": fits}))
    found = read_result(work)
    assert found is not None
    assert found.is_of(["fold-1", "final"], 1)
    for fit_ids, tasks in ([["final"], 1], [["fold-1", "fold-2"], 1], [["fold-1", "final"], 2]):
        assert not found.is_of(fit_ids, tasks)


def test_a_message_is_kept_in_bounds(tmp_path: Path) -> None:
    work = work_of(tmp_path)
    (work / "output" / "result.json").write_text(json.dumps({"error": {"message": "a\0b" + "c" * 10_000}}))
    found = read_result(work)
    assert isinstance(found, Result)
    assert found.error is not None
    assert found.error.text.startswith("a\ufffdbccc")
    assert len(found.error.text) == 2000


def test_a_link_in_place_of_what_transforms_made_moves_nothing(working_lab: Lab, tmp_path: Path) -> None:
    lab = working_lab
    (tmp_path / "theirs" / "0").mkdir(parents=True)
    tmp_path.chmod(0o755)
    made = "(out / 'transforms').mkdir(exist_ok=True)"
    linked = f"{made}; (out / 'transforms' / 'final').symlink_to({str(tmp_path / 'theirs')!r})"
    tasks = '{"tasks": [{}, {}]}'
    code = faking(f"(out / 'artifacts' / '1').mkdir(); {linked}", tasks)
    model = lab.ended(
        lab.train(
            lab.a_project(partitioning={"method": "cv", "folds": 2, "holdoutPct": 0}),
            lab.a_task(FILL, "Transform"),
            lab.a_task(code),
        )
    )
    assert (tmp_path / "theirs" / "0").is_dir(), model


def test_a_model_of_which_something_cannot_be_kept_is_none(working_lab: Lab) -> None:
    lab = working_lab
    project = lab.a_project(partitioning={"method": "cv", "folds": 2, "holdoutPct": 0})
    named = fitting("open(os.path.join(output_dir, 'a\\\\\\\\b'), 'w').close()")
    deep = fitting("os.makedirs(output_dir + '/d' * 40); open(output_dir + '/d' * 40 + '/a', 'w').close()")
    surrogate = fitting("raise ValueError('odd \\ud800')")
    models = [lab.train(project, lab.a_task(code)) for code in (named, deep, surrogate)]
    first, second, third = [lab.ended(model) for model in models]
    for model, text in ((first, "is not kept"), (second, "folders deep"), (third, "odd ?")):
        assert model["status"] == "errored"
        assert text in model["reason"], model["reason"]
        assert (model["metrics"], model["artifactSize"]) == ({}, None)
