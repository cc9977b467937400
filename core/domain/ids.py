"""Identifiers that sort by the time they were made."""

import secrets
import time

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u


def new_id(prefix: str) -> str:
    """`prefix_` and 26 characters: 48 bits of milliseconds, 80 random ones (a ULID in lower case).

    >>> new_id("run")[:4]
    'run_'
    """
    value = (time.time_ns() // 1_000_000 << 80) | secrets.randbits(80)
    return f"{prefix}_" + "".join(ALPHABET[value >> shift & 31] for shift in range(125, -1, -5))
