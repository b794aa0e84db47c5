"""Custom templates as the wire shows them."""

from collections.abc import Sequence

import msgspec
from sqlalchemy.orm import Session

from modelyard.templates.schemas import CustomTemplateEntity, CustomTemplateFile, DefaultEnvironment, TemplateMetadata
from modelyard.templates.tables import CustomTemplate
from modelyard.workspaces import service as workspaces


def view_templates(session: Session, templates: Sequence[CustomTemplate]) -> list[CustomTemplateEntity]:
    """Templates with their files, in one query more however many they are."""
    files = workspaces.files_by_id(session, [template.workspace_id for template in templates])
    return [
        CustomTemplateEntity(
            id=template.id,
            name=template.name,
            description=template.description,
            template_type=template.template_type,
            template_sub_type=template.template_sub_type or None,
            enabled=template.is_enabled,
            default_environment=DefaultEnvironment(
                environment_id=template.environment_id, environment_version_id=template.environment_version_id
            ),
            default_resource_bundle_id=template.resource_bundle_id,
            template_metadata=msgspec.convert(template.details, TemplateMetadata),
            items=[CustomTemplateFile(id=file.id, name=file.path) for file in files[template.workspace_id]],
        )
        for template in templates
    ]


def view_template(session: Session, template: CustomTemplate) -> CustomTemplateEntity:
    return view_templates(session, [template])[0]
