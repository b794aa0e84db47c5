"""From a package to an active deployment that answers, with real images, sandboxes and replicas."""

from tests.deployments.serving import ECHO, METADATA, Workshop


def test_a_deployed_model_answers(workshop: Workshop) -> None:
    package = workshop.a_package_of(files={"model-metadata.yaml": METADATA})
    with workshop.working():
        assert workshop.await_success(package["location"]).json()["buildStatus"] == "complete"
        made = workshop.a_deployment(package)
        deployment = workshop.await_success(made["location"]).json()
        assert (deployment["id"], deployment["status"], deployment["hasError"]) == (made["id"], "active", False)
        assert workshop.ask(made["id"], "world").body == b"hello world"


def test_a_model_that_cannot_start_leaves_the_deployment_errored_with_the_reason_and_the_log(
    workshop: Workshop,
) -> None:
    with workshop.working():
        made = workshop.a_deployment(workshop.a_package_of("print('here we go')\nraise ValueError('no luck')"))
        ended = workshop.await_end(made["location"]).json()
        assert ended["status"] == "ERROR"
        assert "no luck" in ended["message"]
        deployment = workshop.read(made["id"])
        assert (deployment["status"], deployment["hasError"]) == ("errored", True)
        assert "no luck" in deployment["statusMessage"]
        log = workshop.api.get(f"/customModelDeployments/{made['id']}/logs/")
        assert log.status_code == 200
        assert "here we go" in log.text
        assert "no luck" in log.text
