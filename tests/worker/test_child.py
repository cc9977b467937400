import os
import socket
import time

import pytest

from worker.child import YOUNG_SECONDS, forget_dead_servers


@pytest.fixture
def server(tmp_path):
    """Make a fork server's folder with its socket, as old as is wanted."""
    listening = []

    def make(name, *, alive, age):
        home = tmp_path / f"pymp-{name}"
        home.mkdir()
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(home / "listener-1"))
        listener.listen()
        listening.append(listener)
        if not alive:
            listener.close()
        os.utime(home, (time.time() - age,) * 2)
        return home

    yield make
    for listener in listening:
        listener.close()


def test_forget_dead_servers__of_the_dead_and_old_only(server, tmp_path):
    old = 2 * YOUNG_SECONDS
    dead, alive = server("dead", alive=False, age=old), server("alive", alive=True, age=old)
    young = server("young", alive=False, age=0)
    other, foreign = tmp_path / "pymp-other", tmp_path / "mine"
    other.mkdir()
    foreign.mkdir()
    (other / "pym-arena").write_text("not a socket")
    os.utime(other, (time.time() - old,) * 2)
    forget_dead_servers(tmp_path)
    assert not dead.exists()
    assert all(folder.exists() for folder in (alive, young, other, foreign))
    assert (other / "pym-arena").read_text() == "not a socket"
