"""What the fork server does first: it outlives a SIGTERM to the whole process group.

Service managers send that to every process at once. Children must then have time to store their state, and without
their parent nobody could tell whether they still live.
"""

import signal

signal.signal(signal.SIGTERM, signal.SIG_IGN)
