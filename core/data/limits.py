"""Default limits on the content of uploads.

The operator overrides MAX_PIXELS with EMBEDREEL_MAX_IMAGE_PIXELS and MAX_ENTRIES with EMBEDREEL_MAX_ZIP_ENTRIES. All
values are chosen by hand; no measurement chose them.
"""

MAX_PIXELS = 25_000_000
"""Maximum width times height of an image."""

MEMORY_BYTES = 4 << 30
"""Maximum address space of the process that reads an upload.

The largest memory use on record is 496 MiB (docs/reliability.md, hostile uploads).
"""

MAX_ENTRIES = 20_000
"""Maximum number of entries in a ZIP. Folders and ignored files count."""

MAX_ZIP_BYTES = 2 << 30
"""Maximum number of bytes that are unpacked from a ZIP."""

MAX_ZIP_RATIO = 100
"""Maximum ratio of the unpacked bytes of a ZIP to the bytes that are read from the file."""
