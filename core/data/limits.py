"""Bounds on what is read from uploads, where the operator sets no other."""

MAX_PIXELS = 25_000_000
"""Width times height of an image."""

MEMORY_BYTES = 4 << 30
"""Address space of the process that reads an upload."""

MAX_ENTRIES = 20_000
"""Entries of a ZIP, folders and ignored files among them."""

MAX_ZIP_BYTES = 2 << 30
"""What is unpacked of a ZIP."""

MAX_ZIP_RATIO = 100
"""Bytes unpacked of a ZIP for each that is read of it."""
