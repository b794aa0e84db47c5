"""Puts the slices together: parts, endpoints, handlers of operations. Holds no rules of its own."""

import functools
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from urllib.parse import urlsplit

from litestar import Litestar

from modelyard.compute import bundle_routes, health_routes
from modelyard.compute.executor import Executor
from modelyard.compute.free_space import NoSpace
from modelyard.compute.isolation import Isolation, isolation_for
from modelyard.compute.nodes import this_node
from modelyard.compute.process_executor import ProcessExecutor
from modelyard.compute.services.reconciler import Reconciler
from modelyard.compute.services.workloads import Materials
from modelyard.compute.watching import Watch
from modelyard.compute.workload import Limits
from modelyard.credentials import routes as credential_routes
from modelyard.credentials import service as credentials
from modelyard.credentials.variables import opener
from modelyard.datasets import routes as dataset_routes
from modelyard.datasets import work as dataset_work
from modelyard.deployments import custom_model_routes as custom_model_deployment_routes
from modelyard.deployments import routes as deployment_routes
from modelyard.deployments import service as deployments
from modelyard.deployments import work as deployment_work
from modelyard.deployments.challengers import routes as challenger_routes
from modelyard.deployments.challengers import work as challenger_work
from modelyard.deployments.prediction_environments import routes as prediction_environment_routes
from modelyard.deployments.prediction_environments.service import install_default
from modelyard.environments import routes as environment_routes
from modelyard.environments import work as environment_work
from modelyard.environments.builds import MODEL_VERSION
from modelyard.environments.images.commands import Allowance
from modelyard.environments.images.sandboxed import SandboxRunner
from modelyard.environments.images.store import ImageStore
from modelyard.environments.installation import install_builtin
from modelyard.events import routes as event_routes
from modelyard.garbage import collect
from modelyard.garbage import handlers as garbage_handlers
from modelyard.gateway.forwarding import Forwarder, forwarding_route
from modelyard.identity import routes as identity_routes
from modelyard.identity.caller import authenticate
from modelyard.identity.token_use import TokenUse
from modelyard.jobs import routes as job_routes
from modelyard.jobs.notifications import Dispatcher
from modelyard.jobs.runs import routes as job_run_routes
from modelyard.jobs.runs import work as job_run_work
from modelyard.jobs.schedules import routes as job_schedule_routes
from modelyard.jobs.schedules.firing import IDLE_S, Firing
from modelyard.kernel.clock import Clock, SystemClock
from modelyard.kernel.data_dir import open_data_dir
from modelyard.kernel.database import Database
from modelyard.kernel.edge import Edge
from modelyard.kernel.errors import Unavailable
from modelyard.kernel.forwarded import parse_network
from modelyard.kernel.host_names import AllowedHosts
from modelyard.kernel.http import Services, create_router
from modelyard.kernel.metrics import StateCollector
from modelyard.kernel.multipart import Form, FormLimits, read_form
from modelyard.kernel.observing import Observer, metrics_route
from modelyard.kernel.openapi import document_route
from modelyard.kernel.outages import Outage
from modelyard.kernel.parts import Parts
from modelyard.kernel.readiness import Readiness, database_check, readiness_routes
from modelyard.kernel.routing import Endpoint, endpoints_of
from modelyard.kernel.secret_box import SecretBox, open_secret_box
from modelyard.kernel.settings import Settings
from modelyard.kernel.streams import Streams
from modelyard.learning import model_routes as learning_model_routes
from modelyard.learning import predictions as learning_predictions
from modelyard.learning import preparing as project_preparing
from modelyard.learning import project_routes, training
from modelyard.learning.table_files import TableStore
from modelyard.learning.transforms import TransformCache
from modelyard.models import build_routes as model_build_routes
from modelyard.models import from_repository as model_from_repository
from modelyard.models import routes as model_routes
from modelyard.models import version_routes as model_version_routes
from modelyard.models.loading import try_loading
from modelyard.models.serving import folders
from modelyard.models.testing import routes as model_test_routes
from modelyard.models.testing import work as model_test_work
from modelyard.monitoring.custom_metrics import routes as custom_metric_routes
from modelyard.monitoring.custom_metrics import service as custom_metrics
from modelyard.monitoring.health import watch_health
from modelyard.operations import routes as operation_routes
from modelyard.operations.engine import Engine, Loop
from modelyard.operations.leases import hold
from modelyard.operations.owners import lease_owner
from modelyard.operations.work import Handler
from modelyard.registry import packages
from modelyard.registry import routes as registry_routes
from modelyard.registry import work as registry_work
from modelyard.repositories import routes as repository_routes
from modelyard.state import read_state
from modelyard.storage.blobs import Blob, BlobStore, BlobWriter
from modelyard.storage.locations import open_blob_store
from modelyard.tasks import routes as task_routes
from modelyard.tasks import version_routes as task_version_routes
from modelyard.templates import routes as template_routes
from modelyard.templates.gallery import install_gallery
from modelyard.workspaces.checkout import Checkouts
from modelyard.workspaces.references import References

COLLECT_EVERY_S = 3600.0
WATCH_HEALTH_EVERY_S = 30.0

EXECUTING = (job_run_work.executing, training.executing, learning_predictions.executing)
"""Whose workloads are watched for their end."""

ROUTES: tuple[ModuleType, ...] = (
    identity_routes,
    operation_routes,
    dataset_routes,
    bundle_routes,
    health_routes,
    credential_routes,
    repository_routes,
    environment_routes,
    model_routes,
    model_version_routes,
    model_build_routes,
    model_test_routes,
    task_routes,
    task_version_routes,
    job_routes,
    job_run_routes,
    job_schedule_routes,
    template_routes,
    project_routes,
    learning_model_routes,
    registry_routes,
    prediction_environment_routes,
    deployment_routes,
    challenger_routes,
    custom_model_deployment_routes,
    custom_metric_routes,
    event_routes,
)


@dataclass(frozen=True)
class Application:
    """Everything that one process needs, whichever role it plays."""

    settings: Settings
    database: Database
    parts: Parts

    def api(self, streams: Streams | None = None) -> Edge:
        """The REST API. What ends its ``streams`` is the caller's, where it wants to end them."""
        blobs = self.parts.get(BlobStore)  # type: ignore[type-abstract]
        limits = FormLimits(
            total_bytes=self.settings.max_upload_bytes,
            file_bytes=self.settings.max_upload_bytes,
            files=self.settings.max_files_per_version,
        )

        executor = self.parts.get(Executor)  # type: ignore[type-abstract]

        def writer(_field: str, _name: str | None) -> BlobWriter:
            if missing := executor.missing_space():
                raise NoSpace(f"The upload was refused, {missing}.", headers={"Retry-After": "60"})
            return blobs.writer()

        async def read(stream: AsyncIterator[bytes], content_type: str, content_length: int | None) -> Form[Blob]:
            return await read_form(stream, content_type, limits, writer, content_length=content_length)

        forwarder = Forwarder(self.settings)
        token_use = TokenUse(self.database)
        services = Services(
            endpoints(),
            database=self.database,
            parts=self.parts,
            authenticate=token_use.noting(authenticate),
            read_form=read,
            streams=streams,
        )
        readiness = Readiness(
            {
                "database": database_check(self.database),
                "blob store": functools.partial(blobs.exists, "0" * 64),
                "disk": functools.partial(_require_space, executor),
            }
        )
        isolation = self.parts.get(Isolation)
        observer = Observer(
            StateCollector(functools.partial(read_state, self.database, isolation)),
            metrics=self.settings.metrics,
            logs_access=self.settings.access_log,
        )
        return Edge(
            router(),
            {"services": services, "forwarder": forwarder, "readiness": readiness, "observer": observer},
            observer=observer,
            trusted_proxies=map(parse_network, self.settings.trusted_proxies),
            allowed_hosts=AllowedHosts(self.settings.host_names()),
            default_host=urlsplit(self.settings.api_url()).netloc,
            on_startup=[services.start, forwarder.open, token_use.start],
            on_shutdown=[forwarder.close, token_use.stop],
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


def _require_space(executor: Executor) -> None:
    if missing := executor.missing_space():
        raise Outage(f"{missing[0].upper()}{missing[1:]}.")


@functools.cache
def endpoints() -> tuple[Endpoint, ...]:
    """Every operation of the API."""
    return tuple(endpoint for module in ROUTES for endpoint in endpoints_of(module))


@functools.cache
def router() -> Litestar:
    """The routes of every application in this process."""
    return create_router(
        endpoints(), [forwarding_route(), document_route(endpoints()), metrics_route(), *readiness_routes()]
    )


def handlers() -> list[Handler]:
    """Every kind of asynchronous work."""
    return [
        *dataset_work.handlers(),
        *environment_work.handlers({MODEL_VERSION: try_loading}),
        *model_from_repository.handlers(),
        *model_test_work.handlers(),
        *job_run_work.handlers(),
        *project_preparing.handlers(),
        *training.handlers(),
        *learning_predictions.handlers(),
        *registry_work.handlers(),
        *deployment_work.handlers(),
        *challenger_work.handlers(),
        *garbage_handlers(),
    ]


def loops(application: Application) -> list[Loop]:
    """What the controller does again and again."""
    database, parts = application.database, application.parts
    executor = parts.get(Executor)  # type: ignore[type-abstract]
    reconciler = Reconciler(
        database,
        executor,
        parts.get(Materials),
        lease_owner(),
    )
    return [
        Loop("services", reconciler.run, period_s=1.0),
        Loop("notification jobs", Dispatcher(database, parts).dispatch, period_s=5.0),
        Loop("workloads", Watch(database, executor, EXECUTING).look, period_s=1.0),
        Loop("job schedules", Firing(database, parts).look, period_s=IDLE_S),
        Loop("garbage", lambda: _collect(application), period_s=COLLECT_EVERY_S, on_commit=False),
        Loop("health", lambda: _watch_health(application), period_s=WATCH_HEALTH_EVERY_S, on_commit=False),
    ]


def _collect(application: Application) -> None:
    if hold(application.database, "garbage", lease_owner(), COLLECT_EVERY_S):
        collect(application.database, application.parts, application.settings)


def _watch_health(application: Application) -> None:
    if hold(application.database, "health", lease_owner(), 2 * WATCH_HEALTH_EVERY_S):
        watch_health(application.database)


def prepare(application: Application) -> None:
    """Puts what ships with this release into the database; to be called once, before anything serves."""
    with application.database.write() as session:
        install_builtin(session)
        install_default(session)
        install_gallery(session, application.parts.get(BlobStore))  # type: ignore[type-abstract]


def build(settings: Settings, isolation: Isolation | None = None) -> Application:
    """Opens the database and the stores that ``settings`` name. Without ``isolation`` the machine is probed.

    Raises ``UnsafeFolderError`` for a folder that another user of the machine could have a part in.
    """
    open_data_dir(settings)
    database = Database(settings.database())
    parts = Parts()
    clock = parts.add(Clock, SystemClock())  # type: ignore[type-abstract]
    parts.add(Settings, settings)
    parts.add(Database, database)
    parts.add(
        BlobStore,  # type: ignore[type-abstract]
        open_blob_store(settings.blob_url or settings.data_dir / "blobs", settings.data_dir / "spool", clock),
    )
    isolation = parts.add(Isolation, _isolation(settings, isolation))
    executor = ProcessExecutor(
        settings.data_dir / "workloads",
        settings.sockets_dir(),
        isolation,
        min_free_bytes=settings.min_free_bytes,
        node_id=this_node(settings.data_dir).id,
    )
    parts.add(Executor, executor)  # type: ignore[type-abstract]
    images = parts.add(ImageStore, _open_images(settings, clock, executor))
    checkouts = parts.add(Checkouts, Checkouts(settings.data_dir / "checkouts", parts.get(BlobStore)))  # type: ignore[type-abstract]
    parts.add(TableStore, TableStore(settings.data_dir / "tables", parts.get(BlobStore)))  # type: ignore[type-abstract]
    parts.add(TransformCache, TransformCache(settings.data_dir / "transforms"))
    box = parts.add(SecretBox, _open_secret_box(settings))
    image = functools.partial(_built_image, images)
    parts.add(Materials, Materials(image, folders(database, checkouts), opener(database, box)))
    parts.add(References, _references())
    return Application(settings, database, parts)


def _isolation(settings: Settings, known: Isolation | None) -> Isolation:
    """What is known already, unless it has a sandbox where the setting wants none."""
    if known is None or (settings.sandbox == "off" and not known.is_off):
        return isolation_for(settings.sandbox)
    return known


def _references() -> References:
    """Who knows about the ids that runtime parameters hold."""
    return References(
        {
            "credential": credentials.reference_fault,
            "deployment": deployments.reference_fault,
            "modelPackage": packages.reference_fault,
            "customMetric": custom_metrics.reference_fault,
        }
    )


def _open_secret_box(settings: Settings) -> SecretBox:
    keys = settings.secret_keys.get_secret_value() if settings.secret_keys else None
    return open_secret_box(keys, settings.data_dir / "secret.key")


def _built_image(images: ImageStore, digest: str) -> Path:
    """The image, which whoever asked for it has built before."""
    found = images.find(digest)
    if found is None:
        raise Unavailable(f"Image {digest[:12]} is gone from this machine; start the service again to rebuild it.")
    return found


def _open_images(settings: Settings, clock: Clock, executor: ProcessExecutor) -> ImageStore:
    limits = Limits(
        memory_bytes=settings.max_model_memory_bytes,
        time_limit_s=settings.build_timeout_s,
        processes=settings.max_processes,
        disk_bytes=settings.max_image_bytes,
    )
    return ImageStore(
        settings.images_dir or settings.data_dir / "images",
        cache_dir=settings.cache_dir or settings.data_dir / "cache",
        clock=clock,
        index_url=settings.package_index_url,
        sandbox=SandboxRunner(executor, limits, isolates=executor.isolation.is_sandboxed),
        # Without hard links everything is written twice: into the cache, and into the image.
        allowance=Allowance(settings.max_model_memory_bytes, 2 * settings.max_image_bytes),
    )
