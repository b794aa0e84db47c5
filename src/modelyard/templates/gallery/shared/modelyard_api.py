"""The Modelyard API as a job sees it: the address and the token are in its environment. Standard library only."""

import json
import os
import time
import urllib.error
import urllib.request
import uuid

ENDPOINT = os.environ["MODELYARD_ENDPOINT"].rstrip("/")
TOKEN = os.environ["MODELYARD_API_TOKEN"]


class ApiError(SystemExit):
    """An answer that is no success. Not caught, it ends the job with exit code 1 and says what was answered."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Finished work answers with the address of its result, which is wanted and not what is there."""

    def redirect_request(self, *_arguments, **_options):
        return None


def call(method, path, body=None, *, content_type="application/json", accept="application/json", timeout_s=120):
    """The open answer of ``method path`` (below the endpoint, or a whole address); raises ``ApiError``."""
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {TOKEN}", "Accept": accept}
    if body is not None:
        headers["Content-Type"] = content_type
    address = path if path.startswith("http") else f"{ENDPOINT}/{path.lstrip('/')}"
    request = urllib.request.Request(address, body, headers, method=method)
    try:
        return urllib.request.build_opener(_NoRedirect).open(request, timeout=timeout_s)
    except urllib.error.HTTPError as error:
        if error.code == 303:
            return error
        raise ApiError(f"{method} {path} answered {error.code}: {error.read().decode(errors='replace')}") from None


def get(path):
    """The JSON that is at ``path``."""
    with call("GET", path) as answer:
        return json.load(answer)


def send(method, path, body=None):
    """The JSON that ``method path`` answers to a JSON ``body``; None where the answer is empty."""
    with call(method, path, body) as answer:
        content = answer.read()
    return json.loads(content) if content else None


def wait_for(status_address, what, every_s=1.0):
    """Follows a piece of asynchronous work to its end; the address of what it made, or None where there is none."""
    said = None
    while True:
        path = status_address[status_address.index("/status/") :]
        with call("GET", path) as answer:
            if answer.status == 303:
                return answer.headers["Location"]
            state = json.load(answer)
        if state["status"] in ("ERROR", "ABORTED", "EXPIRED"):
            raise ApiError(f"{what} failed: {state['message']}")
        if state["status"] == "COMPLETED":
            return None
        if state["message"] and state["message"] != said:
            said = state["message"]
            print(f"{what}: {said}", flush=True)
        time.sleep(every_s)


def multipart(fields, files):
    """The body and content type of a form: ``fields`` are (name, text), ``files`` are (path, bytes)."""
    boundary = uuid.uuid4().hex
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'.encode()
        for name, text in fields
    ]
    for path, content in files:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{path}"\r\n\r\n'
        parts += [head.encode(), content, b"\r\n"]
        parts.append(f'--{boundary}\r\nContent-Disposition: form-data; name="filePath"\r\n\r\n{path}\r\n'.encode())
    parts.append(f"--{boundary}--\r\n".encode())
    return b"".join(parts), f"multipart/form-data; boundary={boundary}"
