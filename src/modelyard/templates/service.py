"""Custom templates: making, listing, reading, changing and deleting them (seed 002)."""

from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session

from modelyard.environments.tables import EnvironmentVersion
from modelyard.identity import audit, sharing
from modelyard.identity.caller import Caller
from modelyard.identity.roles import Permission
from modelyard.identity.tables import ResourceKind, SubjectKind
from modelyard.kernel.database import ignoring_case
from modelyard.kernel.errors import Forbidden, NotFound
from modelyard.kernel.form_input import FormInput
from modelyard.kernel.ids import is_id, new_id
from modelyard.kernel.paging import Page, page
from modelyard.kernel.routing import RequestInfo
from modelyard.kernel.settings import Settings
from modelyard.kernel.wire import UNSET, changes
from modelyard.storage.blobs import Blob, BlobStore
from modelyard.templates.forms import MAX_FILES, FormReader
from modelyard.templates.schemas import (
    CustomTemplateEntity,
    CustomTemplateFileContent,
    CustomTemplateListQuery,
    TemplateMetadata,
)
from modelyard.templates.tables import CustomTemplate, CustomTemplateTag
from modelyard.templates.views import view_template, view_templates
from modelyard.workspaces import service as workspaces
from modelyard.workspaces.service import NewFile
from modelyard.workspaces.texts import read_text

KIND = ResourceKind.CUSTOM_TEMPLATE
LOOKING = frozenset({Permission.USE, Permission.VIEW})
ORDERS = {
    "name": (ignoring_case(CustomTemplate.name),),
    "createdAt": (CustomTemplate.created_at,),
    "templateType": (CustomTemplate.template_type, CustomTemplate.template_sub_type),
    "templateSubType": (CustomTemplate.template_sub_type,),
}
COLUMNS = {
    "name": "name",
    "description": "description",
    "template_type": "template_type",
    "template_sub_type": "template_sub_type",
    "default_resource_bundle_id": "resource_bundle_id",
    "enabled": "is_enabled",
}
"""The columns that fields of the form go to as they are."""


def list_templates(
    session: Session, caller: Caller, query: CustomTemplateListQuery, request: RequestInfo
) -> Page[CustomTemplateEntity]:
    """The shipped templates and those that the caller may view, newest first unless ``orderBy`` says otherwise.

    A filter that is empty filters nothing.
    """
    filters = [column == wanted for column, wanted in _wanted(query) if wanted is not None]
    if query.tag:
        tagged = select(CustomTemplateTag.template_id).where(
            ignoring_case(CustomTemplateTag.tag) == ignoring_case(query.tag)
        )
        filters.append(CustomTemplate.id.in_(tagged))
    if query.search:
        filters.append(CustomTemplate.search_text.contains(query.search.casefold(), autoescape=True))
    mine = sharing.is_visible(session, caller, KIND, CustomTemplate.id)
    statement = select(CustomTemplate).where(or_(CustomTemplate.is_shipped, mine), *filters)
    order = query.order_by or "-createdAt"
    columns = (*ORDERS[order.removeprefix("-")], CustomTemplate.id)
    statement = statement.order_by(*(column.desc() if order.startswith("-") else column for column in columns))
    total = None if filters else sharing.count_visible(session, caller, KIND) + _count_shipped(session)
    return page(session, statement, query, request, lambda rows: view_templates(session, rows), total=total)


def _wanted(query: CustomTemplateListQuery) -> list[tuple[ColumnElement[Any], Any]]:
    return [
        (CustomTemplate.template_type.expression, query.template_type or None),
        (CustomTemplate.template_sub_type.expression, query.template_sub_type or None),
        (ignoring_case(CustomTemplate.publisher), ignoring_case(query.publisher) if query.publisher else None),
        (ignoring_case(CustomTemplate.category), ignoring_case(query.category) if query.category else None),
    ]


def _count_shipped(session: Session) -> int:
    """Shipped templates are granted to nobody, so none of them is counted twice."""
    return session.scalar(select(func.count()).where(CustomTemplate.is_shipped)) or 0


def create_template(
    session: Session, caller: Caller, settings: Settings, blobs: BlobStore, form: FormInput[Blob]
) -> CustomTemplateEntity:
    """A new template of the caller's own, which everybody of their organization may look at."""
    wish = FormReader(session, caller, settings, blobs).read(form, None)
    now = datetime.now(UTC)
    template = CustomTemplate(
        id=new_id(),
        organization_id=caller.organization_id,
        created_by_id=caller.user_id,
        created_at=now,
        updated_at=now,
        is_enabled=True,
    )
    apply_fields(template, changes(wish.body))
    set_environment(template, wish.environment)
    set_files(session, template, wish.files or [])
    session.add(template)
    set_metadata(session, template, TemplateMetadata() if wish.metadata is UNSET else wish.metadata)
    sharing.grant_owner(session, caller, KIND, template.id)
    sharing.grant(
        session,
        KIND,
        template.id,
        caller.organization_id,
        "READ_ONLY",
        can_share=False,
        subject_kind=SubjectKind.ORGANIZATION,
    )
    audit.record(session, caller, "create", KIND, template.id, {"name": template.name})
    session.flush()
    return view_template(session, template)


def read_template(session: Session, caller: Caller, template_id: str) -> CustomTemplateEntity:
    return view_template(session, find_template(session, caller, template_id))


def update_template(
    session: Session, caller: Caller, settings: Settings, blobs: BlobStore, template_id: str, form: FormInput[Blob]
) -> CustomTemplateEntity:
    """Changes what the client sent, and nothing else. What was made from the template keeps what it has."""
    template = find_template(session, caller, template_id, Permission.EDIT, lock=True)
    wish = FormReader(session, caller, settings, blobs).read(form, template)
    given = changes(wish.body)
    apply_fields(template, given)
    set_environment(template, wish.environment)
    if wish.metadata is not UNSET:
        set_metadata(session, template, wish.metadata)
    if wish.files is not None:
        set_files(session, template, wish.files)
    template.updated_at = datetime.now(UTC)
    fields = sorted([*given, *(["file"] if wish.files is not None else [])])
    audit.record(session, caller, "update", KIND, template.id, {"fields": fields})
    session.flush()
    return view_template(session, template)


def delete_template(session: Session, caller: Caller, template_id: str) -> None:
    """Deletes the template and its files. What was made from it stays."""
    template = find_template(session, caller, template_id, Permission.DELETE, lock=True)
    erase(session, template)
    audit.record(session, caller, "delete", KIND, template_id, {"name": template.name})


def read_file(
    session: Session, caller: Caller, blobs: BlobStore, template_id: str, file_id: str
) -> CustomTemplateFileContent:
    """The text of one file; ``Invalid`` for one that is not text."""
    template = find_template(session, caller, template_id)
    file = workspaces.find_file_by_id(session, template.workspace_id, file_id)
    if file is None:
        raise NotFound(f"Custom template {template_id} has no file {file_id}.")
    return CustomTemplateFileContent(id=file.id, filename=file.path, content=read_text(blobs, file, "fileId"))


def find_template(
    session: Session,
    caller: Caller,
    template_id: str,
    permission: Permission = Permission.VIEW,
    *,
    lock: bool = False,
) -> CustomTemplate:
    """A template that the caller may look at (everybody at a shipped one), or change.

    Raises ``NotFound`` and ``Forbidden``. ``workspace_id`` are its files: whoever makes something from them copies
    them with ``workspaces.copy``. ``is_enabled`` says whether anything may be made from it.
    """
    missing = NotFound(f"There is no custom template {template_id} that you may see.")
    template = session.get(CustomTemplate, template_id, with_for_update=lock) if is_id(template_id) else None
    if template is None:
        raise missing
    if template.is_shipped and permission not in LOOKING:
        raise Forbidden(
            f"Custom template {template_id} ships with Modelyard: you may use it, not {permission.value} it."
        )
    if not template.is_shipped:
        sharing.require(session, caller, KIND, template_id, permission)
    return template


def apply_fields(template: CustomTemplate, given: dict[str, object]) -> None:
    """Sets the columns that ``given``, fields of the form by their Python names, is about."""
    for field, column in COLUMNS.items():
        if field in given:
            setattr(template, column, given[field])
    template.search_text = f"{template.name}\n{template.description}".casefold()


def set_environment(template: CustomTemplate, version: EnvironmentVersion | msgspec.UnsetType) -> None:
    if version is not UNSET:
        template.environment_id, template.environment_version_id = version.environment_id, version.id


def set_metadata(session: Session, template: CustomTemplate, metadata: TemplateMetadata) -> None:
    """Replaces the metadata, with the columns and tags that the list is filtered by."""
    template.details = msgspec.to_builtins(metadata)
    template.publisher, template.category = metadata.publisher, metadata.category
    session.flush()
    present = {
        row.tag: row
        for row in session.scalars(select(CustomTemplateTag).where(CustomTemplateTag.template_id == template.id))
    }
    for tag in present.keys() - set(metadata.tags):
        session.delete(present[tag])
    session.add_all(CustomTemplateTag(template_id=template.id, tag=tag) for tag in set(metadata.tags) - present.keys())


def set_files(session: Session, template: CustomTemplate, files: list[NewFile]) -> None:
    """Puts ``files`` in the place of all that the template had."""
    before: str | None = template.workspace_id
    template.workspace_id = workspaces.create(session, files, max_files=MAX_FILES).id
    session.flush()
    if before is not None:
        workspaces.remove(session, [before])


def erase(session: Session, template: CustomTemplate) -> None:
    """Removes a template with its files, tags and grants."""
    sharing.forget(session, KIND, template.id)
    session.delete(template)
    session.flush()
    workspaces.remove(session, [template.workspace_id])
