"""A bare FastAPI application with one route, for comparison with the service.

    python -m bench.bare PORT FILE

It listens on PORT and responds with the JSON in FILE. uvicorn has the same settings as in the service.
"""

import json
import sys
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI


def main() -> None:
    port, constant = int(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text())
    app = FastAPI()

    @app.get("/")
    async def answer() -> Any:  # noqa: ANN401 - JSON
        return constant

    uvicorn.run(app, port=port, log_level="warning", server_header=False, access_log=False)


if __name__ == "__main__":
    main()
