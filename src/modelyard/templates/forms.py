"""What a client sends of a template, checked as a whole before anything is changed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, get_args

import msgspec
from sqlalchemy.orm import Session

from modelyard.compute.bundles import usable_bundle
from modelyard.environments import service as environments
from modelyard.environments.choosing import Names, named
from modelyard.environments.tables import EnvironmentVersion
from modelyard.identity.caller import Caller
from modelyard.kernel.errors import Invalid
from modelyard.kernel.form_input import FormInput
from modelyard.kernel.problems import Problems
from modelyard.kernel.settings import Settings
from modelyard.kernel.wire import UNSET, UnsetType, convert, read_json_object
from modelyard.storage.archive_checks import ArchiveLimits
from modelyard.storage.blobs import Blob, BlobStore
from modelyard.templates.schemas import (
    CustomTemplateCreatePayload,
    CustomTemplateUpdatePayload,
    DefaultEnvironmentWish,
    JobType,
    TemplateMetadata,
    TemplateType,
)
from modelyard.templates.tables import CustomTemplate
from modelyard.workspaces.service import NewFile
from modelyard.workspaces.uploads import zipped_files

MAX_FILES = 1000
MAX_NAME_LENGTH = 255
LIMITS = ArchiveLimits(members=MAX_FILES, total_bytes=100 << 20)
TEMPLATE_TYPES: tuple[str, ...] = get_args(TemplateType)
JOB_TYPES: tuple[str, ...] = get_args(JobType)
NAMES = Names("defaultEnvironment.environmentId", "defaultEnvironment.environmentVersionId")
BUNDLE_USES = {
    "customJob": "customJob",
    "customMetric": "customJob",
    "customModel": "customModel",
    "customTask": "customModel",
    "customApplication": "customApplication",
}
"""The use of a resource bundle that what is made from a template has."""

T = TypeVar("T", bound=msgspec.Struct)
P = TypeVar("P", bound=CustomTemplateUpdatePayload)


@dataclass(frozen=True)
class Wish:
    """A form that was read: ``UNSET`` is what the client did not send; ``files`` are all files, or None."""

    body: CustomTemplateUpdatePayload
    environment: EnvironmentVersion | UnsetType
    metadata: TemplateMetadata | UnsetType
    files: list[NewFile] | None


class FormReader:
    """Reads the form of a template as one caller may send it."""

    def __init__(self, session: Session, caller: Caller, settings: Settings, blobs: BlobStore) -> None:
        self._session = session
        self._caller = caller
        self._settings = settings
        self._blobs = blobs

    def read(self, form: FormInput[Blob], template: CustomTemplate | None) -> Wish:
        """The form for a new template (None) or for changing one; raises ``Invalid`` with everything that is wrong."""
        problems = Problems()
        values = {name: _prepared(name, value, is_json=form.is_json) for name, value in form.values.items()}
        body: CustomTemplateUpdatePayload = CustomTemplateUpdatePayload()
        with problems.collecting():
            type_ = CustomTemplateCreatePayload if template is None else CustomTemplateUpdatePayload
            body = convert(type_, values, strict=form.is_json)
        environment: EnvironmentVersion | UnsetType = UNSET
        with problems.collecting():
            environment = self._environment(values.get("defaultEnvironment"))
        metadata: TemplateMetadata | UnsetType = UNSET
        with problems.collecting():
            metadata = _metadata(values)
        files = None
        with problems.collecting():
            files = self._files(form, is_required=template is None)
        self._check_rules(problems, values, template)
        problems.raise_all()
        return Wish(body, environment, metadata, files)

    def _environment(self, text: object) -> EnvironmentVersion | UnsetType:
        if not isinstance(text, str):
            return UNSET
        wish = read_json_object(text, DefaultEnvironmentWish, "defaultEnvironment")
        with named(NAMES):
            return environments.find_version(
                self._session, self._caller, wish.environment_id, wish.environment_version_id
            )

    def _files(self, form: FormInput[Blob], *, is_required: bool) -> list[NewFile] | None:
        sent = form.form.files_of("file")
        if not sent and "file" not in form.values and not is_required:
            return None
        if len(sent) != 1:
            text = f"one zip with the files of the template is needed, there are {len(sent)}"
            raise Invalid(f"file: {text}", {"file": text})
        files = zipped_files(self._blobs, sent[0].stored, LIMITS)
        too_long = [file.path for file in files if len(file.path) > MAX_NAME_LENGTH]
        if too_long:
            text = f"a file's path has at most {MAX_NAME_LENGTH} characters here; too long: {', '.join(too_long[:5])}"
            raise Invalid(f"file: {text}", {"file": text})
        return files

    def _check_rules(
        self,
        problems: Problems,
        values: Mapping[str, Any],
        template: CustomTemplate | None,
    ) -> None:
        """The rules between fields; of a field that is wrong in itself nothing more is said."""
        name = values.get("name")
        if isinstance(name, str) and not name.strip():
            problems.add("name", "must not be blank")
        type_ = values.get("templateType", template.template_type if template else None)
        if isinstance(type_, str) and type_ not in TEMPLATE_TYPES:
            problems.add("templateType", f"{type_[:80]!r} is none of {', '.join(TEMPLATE_TYPES)}")
        sub_type = values.get("templateSubType", template.template_sub_type if template else None)
        changes_type = {"templateType", "templateSubType"} & values.keys()
        if changes_type and type_ == "customJob" and isinstance(sub_type, str) and sub_type not in JOB_TYPES:
            text = f"{sub_type[:80]!r} is no type of a job; there are {', '.join(JOB_TYPES)}"
            problems.add("templateSubType", text)
        bundle_id = values.get("defaultResourceBundleId", template.resource_bundle_id if template else None)
        changes_bundle = {"templateType", "defaultResourceBundleId"} & values.keys()
        use = BUNDLE_USES.get(type_) if isinstance(type_, str) else None
        if changes_bundle and use is not None and isinstance(bundle_id, str):
            with problems.collecting():
                usable_bundle(self._settings, bundle_id, use, "defaultResourceBundleId")


def _prepared(name: str, value: Any, *, is_json: bool) -> Any:
    """JSON bodies may hold the objects themselves; forms say null by ``null`` or by nothing."""
    if name in {"defaultEnvironment", "templateMetadata"} and isinstance(value, dict):
        return msgspec.json.encode(value).decode()
    if name in {"templateMetadata", "defaultResourceBundleId"} and not is_json and value in {"", "null"}:
        return None
    return value


def _metadata(values: Mapping[str, Any]) -> TemplateMetadata | UnsetType:
    """The metadata that were sent; null empties them."""
    text = values.get("templateMetadata", UNSET)
    if text is None:
        return TemplateMetadata()
    return read_json_object(text, TemplateMetadata, "templateMetadata") if isinstance(text, str) else UNSET
