"""A light HTTP/1.1 connection on asyncio streams, kept alive: what a load generator can afford."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

HOST = "127.0.0.1"
NO_BODY = frozenset({204, 304})


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers by their lower-case names, and the body, empty where it is a stream."""

    status: int
    headers: dict[str, str]
    body: bytes = b""

    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)


class Connection:
    """One connection to a service on this machine; one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int) -> Self:
        """Connect to a port of this machine."""
        return cls(*await asyncio.open_connection(HOST, port))

    async def close(self) -> None:
        """Hang up."""
        self._writer.close()
        await self._writer.wait_closed()

    async def ask(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, body: object = None
    ) -> Answer:
        """Send a request, with a JSON body if there is one, and read the whole answer."""
        head = await self.begin(method, path, headers=headers, body=body)
        length = 0 if head.status in NO_BODY else int(head.headers["content-length"])
        return Answer(head.status, head.headers, await self._reader.readexactly(length))

    async def begin(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, body: object = None
    ) -> Answer:
        """Send a request and read the head of the answer."""
        content = b"" if body is None else json.dumps(body).encode()
        sent = {"Host": HOST, "Content-Length": str(len(content)), **(headers or {})}
        sent |= {"Content-Type": "application/json"} if content else {}
        lines = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
        self._writer.write(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + content)
        status, *fields = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        pairs = (field.split(": ", 1) for field in fields if field)
        return Answer(int(status.split()[1]), {name.lower(): value for name, value in pairs})

    async def events(self) -> AsyncIterator[dict[str, str]]:
        """Server-sent events of an answer that has begun, as their fields; comments are left out."""
        rest = ""
        while size := int(await self._reader.readline(), 16):
            rest += (await self._reader.readexactly(size + 2))[:-2].decode()
            *blocks, rest = rest.split("\n\n")
            for block in blocks:
                fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
                if "event" in fields:
                    yield fields
        await self._reader.readline()
