"""Write the generated documents, as `make docs` does. Tests check that the documents are current."""

import json
import tomllib
from pathlib import Path

from pydantic import SecretStr

from core.figures import document as figures
from core.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
OPENAPI = ROOT / "docs" / "openapi.json"


def openapi_text() -> str:
    """Return the text of docs/openapi.json, for a service with an API key. The text does not depend on the machine."""
    from api.main import create_app  # noqa: PLC0415 - its routes come from the file that `figures.write` writes

    document = create_app(Settings(api_key=SecretStr("any"))).openapi()
    document["info"]["version"] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def main() -> None:
    """Write all generated documents."""
    figures.write()
    from api.openapi import choices  # noqa: PLC0415 - as above

    OPENAPI.write_text(openapi_text())
    choices.write()


if __name__ == "__main__":
    main()
