"""What transforms fitted and made of the rows of a training, kept for the next chain that begins with the same ones."""

import os
from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from pathlib import Path

import msgspec

from modelyard.compute.folders import remove_folder, take_over
from modelyard.compute.supervisor.folder_sizes import measure_folder
from modelyard.learning.chains import features_of, surroundings_of
from modelyard.learning.partitions import Fit
from modelyard.learning.tables import LearningModel, Project


class TransformCache:
    """Folders named by all that their content follows from. Whatever is missing is only made again."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def find(self, key: str) -> Path | None:
        folder = self._root / key
        if not folder.is_dir():
            return None
        os.utime(folder)
        return folder

    def keep(self, key: str, made: Path) -> None:
        """Takes over a folder that the runner made; one that is here already stays."""
        folder = self._root / key
        self._root.mkdir(parents=True, exist_ok=True, mode=0o755)
        if made.is_symlink() or not made.is_dir() or folder.exists():
            return
        try:
            made.rename(folder)
            take_over(folder)
            os.utime(folder)
        except OSError:
            remove_folder(folder)

    def collect(self, in_use: set[str], older_than: datetime, max_bytes: int) -> int:
        """Removes what was not used since ``older_than``, and the longest unused beyond ``max_bytes``."""
        if not self._root.is_dir():
            return 0
        folders = sorted(self._root.iterdir(), key=lambda one: one.stat().st_mtime, reverse=True)
        kept_bytes = removed = 0
        for folder in folders:
            kept_bytes += measure_folder(str(folder), max_bytes)[0]
            is_old = folder.stat().st_mtime < older_than.timestamp()
            if (is_old or kept_bytes > max_bytes) and str(folder) not in in_use:
                remove_folder(folder)
                removed += 1
        return removed


def keys_of(project: Project, model: LearningModel, image_digest: str, fits: Sequence[Fit]) -> dict[str, list[str]]:
    """The key of each transform of a chain, by fit: of the data, the rows, the image and all tasks up to it.

    And of the variables of all tasks, since they share one environment.
    """
    found = {}
    for fit in fits:
        key = sha256(
            msgspec.json.encode(
                [
                    project.id,
                    project.table_digest,
                    project.partition_digest,
                    fit,
                    image_digest,
                    project.class_labels,
                    project.target,
                    features_of(project, model.row_weights_column),
                    surroundings_of(model.tasks).variables(),
                ],
                order="sorted",
            )
        ).hexdigest()
        keys = []
        for task in model.tasks[:-1]:
            own = [task["digest"], task["parameters"], task["typeSchema"]]
            key = sha256(key.encode() + msgspec.json.encode(own, order="sorted")).hexdigest()
            keys.append(key)
        found[fit.id] = keys
    return found
