"""A persistent HTTP/1.1 connection on asyncio streams, with little CPU time for each request.

The load generator uses this connection instead of a complete HTTP client, so that the client does not limit the load.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

HOST = "127.0.0.1"
NO_BODY = frozenset({204, 304})


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP response.

    Attributes:
        status: status code.
        headers: headers by lower-case name.
        body: the body; empty after `Connection.begin`, which reads only the head.
    """

    status: int
    headers: dict[str, str]
    body: bytes = b""

    def json(self) -> Any:
        """Return the body, parsed as JSON."""
        return json.loads(self.body)


class Connection:
    """A connection to a service on this machine, for one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int) -> Self:
        """Connect to a port of this machine."""
        return cls(*await asyncio.open_connection(HOST, port))

    async def close(self) -> None:
        """Close the connection."""
        self._writer.close()
        await self._writer.wait_closed()

    async def ask(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, body: object = None
    ) -> Answer:
        """Send a request and read the whole response.

        Args:
            method: HTTP method.
            path: path and query.
            headers: additional headers.
            body: value that is sent as JSON. None: no body.
        """
        head = await self.begin(method, path, headers=headers, body=body)
        length = 0 if head.status in NO_BODY else int(head.headers["content-length"])
        return Answer(head.status, head.headers, await self._reader.readexactly(length))

    async def begin(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, body: object = None
    ) -> Answer:
        """Send a request and read only the head of the response.

        Args:
            method: HTTP method.
            path: path and query.
            headers: additional headers.
            body: value that is sent as JSON. None: no body.
        """
        content = b"" if body is None else json.dumps(body).encode()
        sent = {"Host": HOST, "Content-Length": str(len(content)), **(headers or {})}
        sent |= {"Content-Type": "application/json"} if content else {}
        lines = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
        self._writer.write(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + content)
        status, *fields = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        pairs = (field.split(": ", 1) for field in fields if field)
        return Answer(int(status.split()[1]), {name.lower(): value for name, value in pairs})

    async def events(self) -> AsyncIterator[dict[str, str]]:
        """Yield the fields of each server-sent event after `begin`. Comments are skipped."""
        rest = ""
        while size := int(await self._reader.readline(), 16):
            rest += (await self._reader.readexactly(size + 2))[:-2].decode()
            *blocks, rest = rest.split("\n\n")
            for block in blocks:
                fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
                if "event" in fields:
                    yield fields
        await self._reader.readline()
