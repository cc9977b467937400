"""A file that no process may open, and a port that no process may connect to. The kernel reports each access."""

import ctypes
import os
import socket
import struct

IN_NONBLOCK = 0o4000
IN_ISDIR = 0x40000000
ANY = 0x1 | 0x2 | 0x4 | 0x20 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x800
"""Events: read, write, change, open, move, create, delete."""

CALLER_SECONDS = 0.5
"""Time for a client to send bytes, which identify it."""

_HEAD = struct.Struct("iIII")


class Canary:
    """A folder with a file, and a listening port."""

    def __init__(self, folder):
        self.folder = folder
        self.file = folder / "secret.png"
        self.file.write_bytes(b"nobody may read this")
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._events = self._libc.inotify_init1(IN_NONBLOCK)
        assert self._libc.inotify_add_watch(self._events, os.fsencode(folder), ANY) >= 0, os.strerror(
            ctypes.get_errno()
        )
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.setblocking(False)
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}/image.png"
        self._prove()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self._events)
        self._listening.close()

    def touched(self):
        """Return the accesses since the last call."""
        return [*self._files(), *self._calls()]

    def _files(self):
        try:
            content = os.read(self._events, 1 << 16)
        except BlockingIOError:
            return
        while content:
            _, mask, _, length = _HEAD.unpack_from(content)
            name = content[_HEAD.size : _HEAD.size + length].rstrip(b"\0").decode()
            if (
                name or not mask & IN_ISDIR
            ):  # a program that searches the temporary files lists the folder and opens nothing
                yield f"{self.folder.name}/{name}: event {mask:#x}"
            content = content[_HEAD.size + length :]

    def _calls(self):
        try:
            caller = self._listening.accept()[0]
        except BlockingIOError:
            return
        with caller:
            caller.settimeout(CALLER_SECONDS)
            try:
                said = caller.recv(1000)
            except OSError:
                said = b""
        yield f"{self.url} was called, with {said!r}"

    def _prove(self):
        """Check that an access is reported."""
        self.file.read_bytes()
        socket.create_connection(self._listening.getsockname()).close()
        assert len(self.touched()) >= 2
