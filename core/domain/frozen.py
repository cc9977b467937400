"""The base class of the records of the domain."""

from pydantic import BaseModel, ConfigDict

ONE_LINE = r"^[^\x00-\x1f\x7f]+$"
"""Pattern of a text without line breaks and other control characters."""


class Frozen(BaseModel):
    """Plain data: immutable, no unknown fields, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
