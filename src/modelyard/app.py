"""Puts the slices together: parts, endpoints, handlers of operations. Holds no rules of its own."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import ModuleType

from litestar import Litestar

from modelyard.datasets import routes as dataset_routes
from modelyard.datasets import work as dataset_work
from modelyard.identity.caller import authenticate
from modelyard.kernel.clock import Clock, SystemClock
from modelyard.kernel.database import Database
from modelyard.kernel.http import create_app
from modelyard.kernel.multipart import Form, FormLimits, read_form
from modelyard.kernel.parts import Parts
from modelyard.kernel.routing import Endpoint, endpoints_of
from modelyard.kernel.settings import Settings
from modelyard.models import routes as model_routes
from modelyard.models import version_routes as model_version_routes
from modelyard.operations import routes as operation_routes
from modelyard.operations.engine import Engine, Loop
from modelyard.operations.work import Handler
from modelyard.storage.blobs import Blob, BlobStore
from modelyard.storage.locations import open_blob_store

ROUTES: tuple[ModuleType, ...] = (operation_routes, dataset_routes, model_routes, model_version_routes)


@dataclass(frozen=True)
class Application:
    """Everything that one process needs, whichever role it plays."""

    settings: Settings
    database: Database
    parts: Parts

    def api(self) -> Litestar:
        """The REST API."""
        blobs = self.parts.get(BlobStore)  # type: ignore[type-abstract]
        limits = FormLimits(
            total_bytes=self.settings.max_upload_bytes,
            file_bytes=self.settings.max_upload_bytes,
            files=self.settings.max_files_per_version,
        )

        async def read(stream: AsyncIterator[bytes], content_type: str, content_length: int | None) -> Form[Blob]:
            return await read_form(
                stream, content_type, limits, lambda _field, _name: blobs.writer(), content_length=content_length
            )

        return create_app(
            endpoints(), database=self.database, parts=self.parts, authenticate=authenticate, read_form=read
        )

    def engine(self) -> Engine:
        """The controller's engine, with every slice's handlers and loops."""
        return Engine(
            self.database,
            self.parts,
            handlers(),
            loops(self),
            workers=self.settings.operation_workers,
            lease_s=self.settings.lease_s,
        )


def endpoints() -> list[Endpoint]:
    """Every operation of the API."""
    return [endpoint for module in ROUTES for endpoint in endpoints_of(module)]


def handlers() -> list[Handler]:
    """Every kind of asynchronous work."""
    return [*dataset_work.handlers()]


def loops(_application: Application) -> list[Loop]:
    """What the controller does again and again."""
    return []


def build(settings: Settings) -> Application:
    """Opens the database and the stores that ``settings`` name."""
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    database = Database(settings.database())
    parts = Parts()
    clock = parts.add(Clock, SystemClock())  # type: ignore[type-abstract]
    parts.add(Settings, settings)
    parts.add(Database, database)
    parts.add(
        BlobStore,  # type: ignore[type-abstract]
        open_blob_store(settings.blob_url or settings.data_dir / "blobs", settings.data_dir / "spool", clock),
    )
    return Application(settings, database, parts)
