"""Bounds on what is read from uploads, where the operator sets no other."""

MAX_PIXELS = 25_000_000
"""Width times height of an image."""

MEMORY_BYTES = 4 << 30
"""Address space of the process that reads an upload."""
