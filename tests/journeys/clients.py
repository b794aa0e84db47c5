"""Clients that send what the known open-source clients send, byte for byte where it matters."""

import json
from dataclasses import dataclass
from typing import Any

import httpx

from tests.api_client import check_response
from tests.waiting import wait_until

POLLED = {"INITIALIZED", "RUNNING"}


@dataclass(frozen=True)
class Action:
    """The push action (act:client): ``Token`` auth, filters as JSON bodies of GET, redirects never followed."""

    client: httpx.Client
    token: str

    def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        url = path if path.startswith("http") else f"/api/v2/{path}"
        headers = {"Authorization": f"Token {self.token}", **options.pop("headers", {})}
        answer = self.client.request(method, url, headers=headers, follow_redirects=False, **options)
        check_response(method, answer.url.path, answer.status_code, answer.content)
        return answer

    def listed(self, path: str, **body: Any) -> list[dict[str, Any]]:
        """Every page of a list: ``next`` is fetched as it is, with the filters in the body again."""
        found: list[dict[str, Any]] = []
        next_url: str | None = path
        while next_url:
            page = self.send("GET", next_url, json=body)
            assert page.status_code == 200, page.text
            content = page.json()
            assert content["count"] == len(content["data"])
            assert content["totalCount"] >= content["count"]
            assert "previous" in content
            found += content["data"]
            next_url = content["next"]
            assert next_url is None or next_url.startswith("http")
        return found

    def resolved(self, accepted: httpx.Response) -> str:
        """Where a 202 leads: 200 and not completed while it works, then 303 (a 200 COMPLETED crashes this client)."""
        assert accepted.status_code == 202, accepted.text
        location = accepted.headers["Location"]
        assert location.startswith("http")

        def look() -> str | None:
            answer = self.send("GET", location)
            if answer.status_code == 303:
                return answer.headers["Location"]
            assert answer.status_code == 200, answer.text
            status = answer.json()
            assert status["status"] in POLLED, status
            assert status.keys() >= {"statusId", "status", "message", "code", "description", "statusType", "created"}
            return None

        target = wait_until(look, 60, location)
        assert target.startswith("http")
        return target

    def result(self, accepted: httpx.Response) -> dict[str, Any]:
        """The JSON that a 202 leads to in the end."""
        answer = self.send("GET", self.resolved(accepted))
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


@dataclass(frozen=True)
class Terraform:
    """The Terraform provider's SDK (tf:c): ``Bearer`` auth, a JSON content type on every request but forms."""

    client: httpx.Client
    token: str

    def send(self, method: str, path: str, body: Any = None, *, files: Any = None) -> dict[str, Any]:
        """The JSON object of a 2xx; which statuses may come without a body is tf:c's rule."""
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Accept": "application/json",
            "User-Agent": "terraform-provider-datarobot/0.1 Terraform-1.9",
        }
        content = None
        if files is None:
            headers["Content-Type"] = "application/json"
            content = None if body is None else json.dumps(body)
        answer = self.client.request(
            method, f"/api/v2/{path}", headers=headers, content=content, files=files, follow_redirects=False
        )
        check_response(method, answer.url.path, answer.status_code, answer.content)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        may_be_empty = answer.status_code == 204 or (answer.status_code, method) in {(202, "PATCH"), (200, "DELETE")}
        if not answer.content:
            assert may_be_empty, f"{method} {path} answered {answer.status_code} without a body"
            return {}
        found = answer.json()
        assert isinstance(found, dict)
        if answer.status_code == 202:
            assert answer.headers["Location"].split("/")[6] == answer.headers["Location"].rstrip("/").split("/")[-1]
            found["_status"] = answer.headers["Location"].split("/")[6]
        return found

    def await_status(self, status_id: str) -> None:
        """Polls as tf:p/utils does: a redirect, once followed, means done."""

        def look() -> bool | None:
            answer = self.client.get(
                f"/api/v2/status/{status_id}/",
                headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
                follow_redirects=True,
            )
            assert answer.status_code == 200, answer.text
            if answer.history:
                return True
            status = answer.json()
            assert status["status"] not in {"ERROR", "ABORTED", "EXPIRED"}, status
            return status["status"] == "COMPLETED" or None

        wait_until(look, 60, f"status {status_id}")
