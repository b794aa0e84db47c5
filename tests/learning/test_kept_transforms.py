"""Taking over what a training left: files of a stranger, with links and rights as it likes."""

import os
from pathlib import Path

from modelyard.learning.transforms import TransformCache


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
