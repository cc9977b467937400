"""The formats that a film can be written in.

A format is an entry in `FORMATS` and the module `core.render.encode.<name>`. What the API accepts and serves, the
command line offers and the documentation lists is read from the table.
"""

from collections.abc import Mapping
from dataclasses import dataclass

GIF = "gif"
"""Always made, and the one that `render.max_bytes` bounds."""


@dataclass(frozen=True, slots=True)
class FilmFormat:
    """A file format of the film.

    Attributes:
        name: of `render.formats`, of the module, and the suffix of the file.
        media_type: as HTTP names it.
        operation_id: of the API's operation that answers with this file.
        description: as the documentation says it.
    """

    name: str
    media_type: str
    operation_id: str
    description: str

    @property
    def file(self) -> str:
        """The name of the file."""
        return f"film.{self.name}"


_ALL = (
    FilmFormat(GIF, "image/gif", "getFilm", "256 colours, plays everywhere"),
    FilmFormat("mp4", "video/mp4", "getFilmAsVideo", "H.264, 4:2:0, plays in every browser"),
    FilmFormat("webp", "image/webp", "getFilmAsWebp", "lossless"),
)
FORMATS: Mapping[str, FilmFormat] = {film_format.name: film_format for film_format in _ALL}
"""By `render.formats`."""
