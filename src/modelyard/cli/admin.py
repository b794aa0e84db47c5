"""``modelyard admin``: users, groups, organizations and API tokens."""

from modelyard.cli.admin_groups import groups, organizations
from modelyard.cli.admin_users import tokens, users
from modelyard.cli.groups import group

app = group("Users, groups, organizations and API tokens.")
app.add_typer(users, name="user")
app.add_typer(groups, name="group")
app.add_typer(organizations, name="org")
app.add_typer(tokens, name="token")
