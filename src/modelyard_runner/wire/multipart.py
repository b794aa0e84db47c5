"""The one file of a `multipart/form-data` body (RFC 7578), already in memory."""

from modelyard_runner.problems import Refusal

_LONGEST_PART_HEAD_BYTES = 16 * 1024


def file_part(body: bytes, boundary: str) -> tuple[bytes, bytes]:
    """The content and the content type (empty where none is given) of the part named `file`.

    Raises Refusal 400 when the body is not multipart or has not exactly one part of that name.
    """
    if not boundary:
        raise Refusal(400, "The multipart content type has no boundary.")
    delimiter = b"--" + boundary.encode("latin-1", "replace")
    found: list[tuple[bytes, bytes]] = []
    names: list[str] = []
    start = 0 if body.startswith(delimiter) else body.find(b"\r\n" + delimiter) + 2
    if start == 1:
        raise Refusal(400, "The body does not hold the boundary that its content type names.")
    while True:
        start += len(delimiter)
        if body.startswith(b"--", start):
            break
        head_start = body.find(b"\r\n", start)
        end = body.find(b"\r\n" + delimiter, head_start)
        head_end = body.find(b"\r\n\r\n", head_start, head_start + _LONGEST_PART_HEAD_BYTES)
        if head_start < 0 or end < 0 or not 0 <= head_end <= end:
            raise Refusal(400, "The multipart body ends in the middle of a part.")
        name, content_type = _part_head(body[head_start:head_end])
        names.append(name)
        if name == "file":
            found.append((body[head_end + 4 : end], content_type))
        start = end + 2
    if len(found) != 1:
        raise Refusal(400, f"A multipart body needs exactly one part named 'file'; its parts are {names}.")
    return found[0]


def _part_head(head: bytes) -> tuple[str, bytes]:
    name, content_type = "", b""
    for line in head.split(b"\r\n"):
        key, _, value = line.partition(b":")
        match key.strip().lower():
            case b"content-disposition":
                for parameter in value.split(b";")[1:]:
                    word, _, text = parameter.partition(b"=")
                    if word.strip().lower() == b"name":
                        name = text.strip().strip(b'"').decode("utf-8", "replace")
            case b"content-type":
                content_type = value.strip()
    return name, content_type
