"""The templates that ship with Modelyard, each a folder here: ``template.yaml`` and the files below ``files/``.

``template.yaml`` has ``name``, ``description``, ``templateType``, ``templateSubType``, ``category``, ``tags``,
``environment`` (the key of a built-in environment, which is its folder's name), ``resourceBundleId``, for jobs
``egressNetworkPolicy``, and ``shared``: files of the folder ``shared`` that belong to it, too. A ``README.md`` among
the files is the template's readme.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import msgspec
import yaml
from sqlalchemy import select
from sqlalchemy.orm import Session

from modelyard.environments.tables import Environment, EnvironmentVersion
from modelyard.identity import audit
from modelyard.storage.blobs import BlobStore, store_bytes
from modelyard.templates import service
from modelyard.templates.schemas import (
    EgressPolicy,
    JobType,
    TemplateMetadata,
    TemplateType,
    TemplateTypeSpecificResources,
)
from modelyard.templates.tables import CustomTemplate
from modelyard.workspaces.service import NewFile

PUBLISHER = "Modelyard"
DEFINITION = "template.yaml"
README = "README.md"
SHARED = "shared"
_FOLDER = Path(__file__).parent
_LITTER = frozenset({"__pycache__", ".DS_Store"})


class Definition(msgspec.Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """What ``template.yaml`` says."""

    name: str
    description: str
    template_type: TemplateType
    template_sub_type: JobType | str = ""
    category: str | None = None
    tags: list[str] = msgspec.field(default_factory=list)
    environment: str
    resource_bundle_id: str | None = None
    egress_network_policy: EgressPolicy | msgspec.UnsetType = msgspec.UNSET
    shared: list[str] = msgspec.field(default_factory=list)


@dataclass(frozen=True)
class ShippedTemplate:
    """A template of this release; ``files`` are contents by path."""

    key: str
    """The folder's name: stays the same over releases."""
    definition: Definition
    files: dict[str, bytes]

    @property
    def id(self) -> str:
        """The same in every installation and every release."""
        return sha256(f"modelyard template {self.key}".encode()).hexdigest()[:24]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of everything that the template is made from."""
        whole = sha256(msgspec.json.encode(self.definition))
        for path, content in sorted(self.files.items()):
            whole.update(f"\0{path}\0{len(content)}\0".encode() + content)
        return whole.hexdigest()

    @property
    def metadata(self) -> TemplateMetadata:
        readme = self.files.get(README)
        return TemplateMetadata(
            readme=None if readme is None else readme.decode(),
            tags=self.definition.tags,
            publisher=PUBLISHER,
            category=self.definition.category,
            template_type_specific_resources=TemplateTypeSpecificResources(
                egress_network_policy=self.definition.egress_network_policy
            ),
        )


def load_gallery(folder: Path = _FOLDER) -> list[ShippedTemplate]:
    """The templates of this release, in the order of their keys."""
    return [_load(path.parent) for path in sorted(folder.glob(f"*/{DEFINITION}"))]


def install_gallery(session: Session, blobs: BlobStore, templates: Sequence[ShippedTemplate] | None = None) -> None:
    """Makes every shipped template that is missing, changes each whose definition changed, removes what ships no more.

    The built-in environments are installed before. Installing again without a change changes nothing.
    """
    present = {row.id: row for row in session.scalars(select(CustomTemplate).where(CustomTemplate.is_shipped))}
    built_in = (
        select(Environment.builtin_key, EnvironmentVersion)
        .join(EnvironmentVersion, EnvironmentVersion.id == Environment.latest_successful_version_id)
        .where(Environment.builtin_key.is_not(None))
    )
    environments = dict(session.execute(built_in).tuples().all())
    for shipped in load_gallery() if templates is None else templates:
        row = present.pop(shipped.id, None)
        if row is None or row.release_fingerprint != shipped.fingerprint:
            row = _write(session, blobs, shipped, row, environments[shipped.definition.environment])
        service.set_environment(row, environments[shipped.definition.environment])
    for gone in present.values():
        service.erase(session, gone)
        audit.record(session, None, "delete", service.KIND, gone.id, {"name": gone.name})


def _load(folder: Path) -> ShippedTemplate:
    definition = msgspec.convert(yaml.safe_load((folder / DEFINITION).read_text("utf-8")), Definition)
    root = folder / "files"
    paths = [path for path in root.rglob("*") if path.is_file() and _LITTER.isdisjoint(path.relative_to(root).parts)]
    files = {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}
    files |= {name: (folder.parent / SHARED / name).read_bytes() for name in definition.shared}
    return ShippedTemplate(folder.name, definition, files)


def _write(
    session: Session,
    blobs: BlobStore,
    shipped: ShippedTemplate,
    row: CustomTemplate | None,
    environment: EnvironmentVersion,
) -> CustomTemplate:
    now = datetime.now(UTC)
    action = "create" if row is None else "update"
    if row is None:
        row = CustomTemplate(id=shipped.id, is_shipped=True, is_enabled=True, created_at=now)
    definition = shipped.definition
    service.apply_fields(
        row,
        {
            "name": definition.name,
            "description": definition.description.strip(),
            "template_type": definition.template_type,
            "template_sub_type": definition.template_sub_type,
            "default_resource_bundle_id": definition.resource_bundle_id,
        },
    )
    service.set_environment(row, environment)
    stored = {path: store_bytes(blobs, content) for path, content in shipped.files.items()}
    service.set_files(session, row, [NewFile(path, blob.digest, blob.size_bytes) for path, blob in stored.items()])
    row.release_fingerprint, row.updated_at = shipped.fingerprint, now
    session.add(row)
    service.set_metadata(session, row, shipped.metadata)
    audit.record(session, None, action, service.KIND, row.id, {"name": row.name})
    return row
