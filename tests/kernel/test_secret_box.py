"""Sealing and opening, the keys and where they come from."""

import base64
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from modelyard.kernel.errors import Conflict
from modelyard.kernel.secret_box import SecretKeyError, open_secret_box

OLD, NEW = (base64.b64encode(bytes([number]) * 32).decode() for number in (250, 251))
MAKE = """
import sys
from pathlib import Path
from modelyard.kernel.secret_box import open_secret_box
sys.stdin.readline()
print(open_secret_box(None, Path(sys.argv[1])).fingerprints[0])
"""


def test_what_is_sealed_opens_for_its_owner_alone(tmp_path: Path) -> None:
    box = open_secret_box(None, tmp_path / "secret.key")
    sealed = box.seal("one", b"the secret")
    assert "the secret" not in sealed
    assert sealed != box.seal("one", b"the secret")
    assert box.open("one", sealed, "it") == b"the secret"
    for owner, changed in (("two", sealed), ("one", sealed[:-8] + "AAAAAAA=")):
        with pytest.raises(Conflict, match="it is not what was stored"):
            box.open(owner, changed, "it")


def test_the_first_key_seals_and_all_open(tmp_path: Path) -> None:
    file = tmp_path / "unused"
    before = open_secret_box(OLD, file).seal("one", b"secret")
    both = open_secret_box(f"{NEW}, {OLD}", file)
    assert both.open("one", before, "it") == b"secret"
    after = both.seal("one", both.open("one", before, "it"))
    assert [before.partition(":")[0], after.partition(":")[0]] == both.fingerprints[::-1]
    assert open_secret_box(NEW, file).open("one", after, "it") == b"secret"
    with pytest.raises(Conflict) as lost:
        open_secret_box(NEW, file).open("one", before, "Credential 'x'")
    assert "Credential 'x' was encrypted with the key" in lost.value.message
    assert "MODELYARD_SECRET_KEYS" in lost.value.message
    assert not file.exists()


def test_a_key_of_either_alphabet(tmp_path: Path) -> None:
    urlsafe = OLD.replace("+", "-").replace("/", "_")
    assert urlsafe != OLD
    assert open_secret_box(urlsafe, tmp_path).fingerprints == open_secret_box(OLD, tmp_path).fingerprints


@pytest.mark.parametrize("setting", ["", ",", "short", OLD[:-5], f"{OLD},{'x' * 42}="])
def test_a_wrong_setting_is_told_without_the_key(tmp_path: Path, setting: str) -> None:
    with pytest.raises(SecretKeyError) as wrong:
        open_secret_box(setting, tmp_path / "secret.key")
    assert "MODELYARD_SECRET_KEYS" in str(wrong.value)
    assert "openssl rand -base64 32" in str(wrong.value)
    assert OLD[:-5] not in str(wrong.value)


def test_a_wrong_file_is_told(tmp_path: Path) -> None:
    file = tmp_path / "secret.key"
    for content in (b"", b"nonsense\n", b"\xff\xfe"):
        file.write_bytes(content)
        with pytest.raises(SecretKeyError, match=str(file)):
            open_secret_box(None, file)
        assert file.read_bytes() == content, "a file with keys is never written over"


def test_processes_that_start_together_make_one_key(tmp_path: Path) -> None:
    file = tmp_path / "secret.key"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", MAKE, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(6)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert len({process.communicate(timeout=60)[0] for process in processes}) == 1
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret.key"]
