"""The first import of the fork server: it makes the fork server ignore SIGTERM.

Service managers send SIGTERM to all processes of a service at once. The children then need time to store their state.
The fork server must outlive them, because only it reports to the supervisor whether a child has ended.
"""

import signal

signal.signal(signal.SIGTERM, signal.SIG_IGN)
