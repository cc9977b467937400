"""The file formats of films.

A format is an entry in `_ALL` and the module `core.render.encode.<name>`. The API, the command line and the
documentation read the table.
"""

from collections.abc import Mapping
from dataclasses import dataclass

GIF = "gif"
"""The format that is always written. `render.max_bytes` limits the size of this file."""


@dataclass(frozen=True, slots=True)
class FilmFormat:
    """A file format of the film.

    Attributes:
        name: value in `render.formats`, name of the module, and suffix of the file.
        media_type: media type of the file.
        operation_id: id of the API operation that returns the file.
        description: description in the documentation, without a full stop.
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
"""All formats, by their name in `render.formats`."""
