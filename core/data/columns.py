"""Find the image column and the label column of a table.

Features that the `datasets` library has written into the schema take precedence over the Arrow types of the columns.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa

from core.errors import InvalidDatasetError

IMAGE_NAMES = ("image", "img")
LABEL_NAMES = ("label", "labels", "class", "target")
_PREFERRED_NAMES = {"image": IMAGE_NAMES, "label": LABEL_NAMES}

LabelKind = Literal["class", "integer", "string"]


@dataclass(frozen=True, slots=True)
class Columns:
    """The image column and the label column of a table.

    Attributes:
        image: name of the column of encoded images.
        label: name of the column of labels.
        label_kind: `class`: the values are indices into `class_names`. `integer` or `string`: each different value is
            a class.
        class_names: the class names that the schema defines for the column. Empty unless `label_kind` is `class`.
        in_folders: True if the labels are the names of folders in a ZIP. There is then no label column.
    """

    image: str
    label: str
    label_kind: LabelKind
    class_names: tuple[str, ...] = ()
    in_folders: bool = False

    @property
    def label_place(self) -> str:
        """Phrase that locates the labels in an error message."""
        return "the names of the folders" if self.in_folders else f"column {self.label!r}"


def find_columns(
    schema: pa.Schema,
    *,
    file: str,
    image: str | None = None,
    label: str | None = None,
    several: str = "keep one, or name the right one {role!r}",
) -> Columns:
    """Find the image column and the label column.

    Args:
        schema: schema of the table.
        file: name of the table for an error message.
        image: name of the image column. None: find the column.
        label: name of the label column. None: find the column.
        several: advice to the user if several columns could be the image or the label column. `{role}` stands for
            `image` or `label`.

    Returns:
        The columns, with the kind of the labels.

    Raises:
        InvalidDatasetError: there is no usable image or label column; the requested column does not exist or has
            another type; several columns qualify and none has a name of IMAGE_NAMES or LABEL_NAMES; or two columns
            have one name.
    """
    repeated = sorted(name for name, times in Counter(schema.names).items() if times > 1)
    if repeated:
        raise InvalidDatasetError(f"{file} has several columns named {repeated[0]!r}: rename or remove all but one.")
    features = _features(schema)
    pick = _Picker(file, several)
    image = _image_column(schema, features, pick, asked=image)
    classes = _class_labels(schema, features)
    plain = {field.name: kind for field in schema if field.name != image and (kind := _plain_label(field))}
    candidates = classes or plain if label is None else {**plain, **classes}
    if not candidates:
        raise InvalidDatasetError(
            f"{file} has no label column: add one of integers or strings (found: {_described(schema)})."
        )
    label = pick("label", list(candidates), asked=label)
    return Columns(image, label, "class", classes[label]) if label in classes else Columns(image, label, plain[label])


def _features(schema: pa.Schema) -> Mapping[str, Any]:
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, ValueError, TypeError, RecursionError):  # the metadata of an upload can have any content
        return {}
    return {name: value for name, value in dict(features).items() if isinstance(value, dict)}


def _image_column(schema: pa.Schema, features: Mapping[str, Any], pick: "_Picker", *, asked: str | None) -> str:
    declared = [name for name in schema.names if features.get(name, {}).get("_type") == "Image"]
    structs = [field.name for field in schema if _has_bytes(field.type)]
    binaries = [field.name for field in schema if _is_binary(field.type)]
    candidates = declared or structs or binaries if asked is None else [*declared, *structs, *binaries]
    if not candidates:
        raise InvalidDatasetError(
            f"{pick.file} has no image column: add a column of type binary, or of type struct<bytes, path> as the "
            f"`datasets` library writes it (found: {_described(schema)})."
        )
    name = pick("image", candidates, asked=asked)
    if name not in structs and name not in binaries:
        raise InvalidDatasetError(path_only(pick.file, name))
    return name


def path_only(file: str, column: str) -> str:
    """Return the error message for a column that contains paths instead of images.

    Args:
        file: name of the table for the message.
        column: name of the image column.
    """
    return (
        f"{file}: column {column!r} holds paths, not the images themselves. Save the dataset with "
        "to_parquet() or push_to_hub() of the `datasets` library, which put the image bytes into the file."
    )


def _class_labels(schema: pa.Schema, features: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    names = {}
    for field in schema:
        feature = features.get(field.name, {})
        listed = feature.get("names")
        if feature.get("_type") == "ClassLabel" and isinstance(listed, list) and pa.types.is_integer(field.type):
            names[field.name] = tuple(str(name) for name in listed)
    return names


def _plain_label(field: pa.Field) -> LabelKind | None:
    if field.name.startswith("__index_level_"):  # the index of a pandas table
        return None
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    if pa.types.is_integer(kind):
        return "integer"
    strings = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_boolean)
    return "string" if any(matches(kind) for matches in strings) else None


def _has_bytes(kind: pa.DataType) -> bool:
    return pa.types.is_struct(kind) and any(part.name == "bytes" and _is_binary(part.type) for part in kind)


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


@dataclass(frozen=True, slots=True)
class _Picker:
    """Picks one of several columns, or raises an error that ends with the advice `several`.

    Attributes:
        file: name of the table for an error message.
        several: advice to the user, with the placeholder `{role}`.
    """

    file: str
    several: str

    def __call__(self, role: str, candidates: Sequence[str], *, asked: str | None) -> str:
        listed = ", ".join(repr(name) for name in dict.fromkeys(candidates))
        if asked is not None:
            if asked in candidates:
                return asked
            raise InvalidDatasetError(
                f"{self.file} has no column {asked!r} that could be the {role}. Possible columns: {listed}."
            )
        if len(candidates) == 1:
            return candidates[0]
        for name in _PREFERRED_NAMES[role]:
            if name in candidates:
                return name
        raise InvalidDatasetError(
            f"{self.file} has several columns that could be the {role} ({listed}): {self.several.format(role=role)}."
        )


def _described(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name}: {field.type}" for field in schema) or "no columns"
