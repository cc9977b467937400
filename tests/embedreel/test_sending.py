from pathlib import Path

import httpx
import pytest

from embedreel.api import Client
from embedreel.errors import UploadError
from tests.embedreel.responses import answers


def test_upload_dataset__sends_every_file_by_name(tmp_path: Path) -> None:
    for name in ("train.parquet", "test.parquet"):
        (tmp_path / name).write_bytes(f"content of {name}".encode())
    client, requests = answers(httpx.Response(201, json={"id": "dataset_1"}))
    paths = [tmp_path / "train.parquet", tmp_path / "test.parquet"]
    assert client.upload_dataset(paths, name="mine")["id"] == "dataset_1"
    content = requests[0].content
    assert requests[0].headers["Content-Type"].startswith("multipart/form-data")
    assert b'name="file"; filename="train.parquet"' in content
    assert b"content of test.parquet" in content
    assert b'name="name"' in content


def test_upload_dataset__reports_progress_and_resets_it_on_a_retry(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(bytes(200_000))
    client, _ = answers(httpx.Response(429), httpx.Response(201, json={"id": "ds_1"}))
    told = []
    client.upload_dataset([path], on_progress=lambda *sent: told.append(sent))
    assert max(told) == (200_000, 200_000)
    assert [sent for sent, _ in told].count(200_000) == 4  # at the last byte, and at the end of the file, twice


def test_upload_dataset__an_interrupted_one_reports_its_progress(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(bytes(3_000_000))

    class Breaking(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            n_sent = 0
            for chunk in request.stream:
                n_sent += len(chunk)
                if n_sent > 1_000_000:
                    raise httpx.WriteError("reset")
            raise httpx.ReadError("gone")

    with pytest.raises(UploadError, match=r"broke off at 1\.0 of 3\.0 MB \(reset\)\. Send the files again"):
        Client("http://service.test", transport=Breaking()).upload_dataset([path])


def test_upload_dataset__broken_after_the_last_byte_may_have_been_taken(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(bytes(10))
    client, _ = answers(httpx.ReadError("gone"))
    with pytest.raises(UploadError, match="check `embedreel datasets`"):
        client.upload_dataset([path])
