"""The whole product on PostgreSQL: nothing of it needs SQLite."""

from collections.abc import Callable
from pathlib import Path

import pytest

from modelyard.kernel.database import Database
from modelyard.monitoring.usage import last_predictions
from tests.journeys.story import Story
from tests.servers import a_server
from tests.waiting import wait_until

pytestmark = pytest.mark.xdist_group("journeys_postgresql")

SOURCE = """
    def score_unstructured(model, data, query, **kwargs):
        return data.upper()
"""


def test_a_model_is_deployed_and_answers_through_restarts(
    tmp_path: Path, a_postgres_url: Callable[[], str], shared_images: dict[str, Path]
) -> None:
    url = a_postgres_url()
    with a_server(tmp_path / "data", database_url=url, **shared_images) as server:
        story = Story(server)
        deployment_id = story.deploy(story.a_package_of(SOURCE))
        assert story.ask(deployment_id, "hello").text == "HELLO"
        for role in ("controller", "api", "gateway"):
            server.kill(role)
            assert story.ask(deployment_id, role).text == role.upper()
        story.await_success(story.set_status(deployment_id, "inactive"))
        assert story.ask(deployment_id, "hello").is_client_error
        story.await_success(story.set_status(deployment_id, "active"))
        assert story.ask(deployment_id, "again").text == "AGAIN"
        assert story.read(deployment_id)["status"] == "active"
        database = Database(url)

        def counted() -> bool:
            with database.read() as session:
                return deployment_id in last_predictions(session, [deployment_id])

        wait_until(counted, 20, "the usage to be stored")
        database.dispose()
        story.delete(deployment_id)
        assert "Traceback" not in server.log(), server.log()[-5000:]
        story.close()
        assert server.stop() == 0
        assert not (tmp_path / "data" / "modelyard.db").exists()
