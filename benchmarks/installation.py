"""A Modelyard of the benchmarks' own: a fresh data directory, and images that are kept from run to run."""

import contextlib
import json
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.journeys.story import SCIKIT_LEARN, Story
from tests.servers import Server, a_server

CACHE_DIR = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modelyard-benchmarks"
MODEL = Path(__file__).parent / "peers" / "model.py"


@dataclass
class Installation:
    """``modelyard up``, and what the benchmarks do with it."""

    server: Server
    story: Story

    @property
    def token(self) -> str:
        return str(self.story.api.token)

    @property
    def database(self) -> Path:
        return self.server.data_dir / "modelyard.db"

    def deploy(self, source: str, *, batches: bool = False, **model: Any) -> str:
        """A deployment of a model with this ``custom.py`` beside the model of all servers.

        ``batches`` notes that its rows are independent, which the test of side effects finds out otherwise.
        """
        made = self.story.a_model(**model)
        version = self.story.a_version(made["id"], {"custom.py": source, "model.py": MODEL.read_bytes()}, SCIKIT_LEARN)
        if batches:
            with contextlib.closing(sqlite3.connect(self.database, timeout=10)) as connection, connection:
                connection.execute(
                    "UPDATE custom_model_versions SET side_effects_passed = 1 WHERE id = ?", [version["id"]]
                )
        return self.story.deploy(self.story.a_package(version))

    def python_of(self, deployment_id: str) -> Path:
        """The Python of a deployment's image, to run the same libraries without a server."""
        with contextlib.closing(sqlite3.connect(self.database, timeout=10)) as connection:
            (spec,) = connection.execute("SELECT serving_spec FROM services WHERE id = ?", [deployment_id]).fetchone()
        return CACHE_DIR / "images" / str(json.loads(spec)["image_digest"]) / "bin" / "python"


@contextlib.contextmanager
def an_installation(data_dir: Path | None = None, **settings: Any) -> Iterator[Installation]:
    """A started server; its data directory is gone afterwards unless it was given."""
    CACHE_DIR.mkdir(parents=True, exist_ok=True)
    shared = {"images_dir": CACHE_DIR / "images", "cache_dir": CACHE_DIR / "cache"}
    with tempfile.TemporaryDirectory(prefix="modelyard-bench-") as folder:
        place = data_dir or Path(folder) / "data"
        with a_server(place, **shared, **settings) as server:
            story = Story(server)
            try:
                yield Installation(server, story)
            finally:
                story.close()
