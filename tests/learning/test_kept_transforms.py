"""Taking over what a training left: files of a stranger, with links and rights as it likes."""

import os
from datetime import UTC, datetime
from pathlib import Path

from modelyard.learning.transforms import TransformCache
from tests.deep_folders import make_deep


def test_kept_files_are_the_servers_and_readable_and_links_are_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret", encoding="ascii")
    secret.chmod(0o600)
    made = tmp_path / "made"
    (made / "below").mkdir(parents=True)
    (made / "below" / "file").write_text("fitted", encoding="ascii")
    (made / "below" / "file").chmod(0o4700)
    (made / "link").symlink_to(secret)
    (made / "below").chmod(0o700)
    if os.getuid() == 0:
        for path in (made, *made.rglob("*")):
            os.chown(path, 1_900_001_000, 1_900_001_000, follow_symlinks=False)
    cache = TransformCache(tmp_path / "cache")
    cache.keep("key", made)
    kept = cache.find("key")
    assert kept is not None
    assert {path.lstat().st_uid for path in (kept, *kept.rglob("*"))} == {os.getuid()}
    modes = [path.stat().st_mode & 0o7777 for path in (kept, kept / "below", kept / "below" / "file", secret)]
    assert modes == [0o755, 0o755, 0o644, 0o600]


def test_a_folder_that_is_too_deep_is_not_kept_and_does_not_stop_the_collection(tmp_path: Path) -> None:
    make_deep(tmp_path / "made")
    make_deep(tmp_path / "cache" / "left")
    cache = TransformCache(tmp_path / "cache")
    cache.keep("key", tmp_path / "made")
    assert cache.find("key") is None
    assert not (tmp_path / "made").exists()
    assert cache.collect(set(), datetime.now(UTC), max_bytes=0) == 1
    assert cache.find("left") is None
