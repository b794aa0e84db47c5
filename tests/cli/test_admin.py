"""Users, groups, organizations and tokens from the command line."""

from tests.cli.conftest import Terminal


def test_users_and_their_tokens(modelyard: Terminal) -> None:
    made = modelyard.ok("admin", "user", "create", "grace", "--email", "grace@example.com", "--json").json
    assert (made["username"], made["isAdmin"], made["isActive"]) == ("grace", False, True)
    assert modelyard("admin", "user", "create", "grace").code == 1
    assert modelyard.ok("admin", "user", "update", "grace", "--first-name", "Grace").out == "Changed the user grace.\n"
    assert "Grace" in modelyard.ok("admin", "user", "show", "grace").out
    assert modelyard("admin", "user", "update", "grace").code == 2

    outcome = modelyard.ok("admin", "token", "create", "laptop", "--user", "grace", "--days", "1")
    grace = Terminal(modelyard.folder, modelyard.forks, modelyard.endpoint, outcome.out.strip())
    assert outcome.err == "The token laptop of grace; it is shown only now:\n"
    assert grace.ok("whoami", "--json").json["username"] == "grace"
    assert grace("admin", "user", "list").code == 4

    mine = grace.ok("admin", "token", "create", "second", "--json").json
    assert {one["name"] for one in grace.ok("admin", "token", "list", "--json").json} == {"laptop", "second"}
    assert grace.ok("admin", "token", "revoke", "second", "--yes", "--json").json == {
        "id": mine["id"],
        "revoked": True,
    }
    listed = modelyard.ok("admin", "token", "list", "--user", "grace", "--json").json
    assert [one["name"] for one in listed] == ["laptop"]

    modelyard.ok("admin", "user", "update", "grace", "--inactive")
    assert grace("whoami").code == 4


def test_groups_and_their_members(modelyard: Terminal) -> None:
    modelyard.ok("admin", "user", "create", "linus")
    modelyard.ok("admin", "group", "create", "analysts")
    assert modelyard.ok("admin", "group", "add", "analysts", "linus").out == "linus is in analysts.\n"
    assert [one["username"] for one in modelyard.ok("admin", "group", "members", "analysts", "--json").json] == [
        "linus"
    ]
    modelyard.ok("admin", "group", "rename", "analysts", "scientists")
    (listed,) = [one for one in modelyard.ok("admin", "group", "list", "--json").json if one["name"] == "scientists"]
    assert listed["membersCount"] == 1
    assert modelyard.ok("admin", "group", "remove", "scientists", "linus").out == "linus is no longer in scientists.\n"
    modelyard.ok("admin", "group", "delete", "scientists", "--yes")
    assert modelyard("admin", "group", "members", "scientists").code == 3


def test_organizations(modelyard: Terminal) -> None:
    modelyard.ok("admin", "org", "create", "Elsewhere")
    made = modelyard.ok("admin", "user", "create", "hedy", "--org", "Elsewhere", "--json").json
    (listed,) = [one for one in modelyard.ok("admin", "org", "list", "--json").json if one["name"] == "Elsewhere"]
    assert (listed["id"], listed["usersCount"]) == (made["organizationId"], 1)
    assert modelyard.ok("admin", "org", "rename", "Elsewhere", "Abroad").out == "It is called Abroad now.\n"
