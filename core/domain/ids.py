"""Identifiers that sort by the time of their creation."""

import secrets
import time

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u


def new_id(prefix: str) -> str:
    """Return a new id: the prefix, `_`, and a ULID in lower case.

    A ULID has 26 characters: 48 bits of milliseconds since 1970 and 80 random bits (https://github.com/ulid/spec).

    >>> new_id("run")[:4]
    'run_'
    """
    value = (time.time_ns() // 1_000_000 << 80) | secrets.randbits(80)
    return f"{prefix}_" + "".join(ALPHABET[value >> shift & 31] for shift in range(125, -1, -5))
