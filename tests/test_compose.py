"""Properties of the compose files and the Dockerfile, read from the files. The two scripts inside them are run."""

import re
import socket
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from core.settings import Settings
from core.store.database import migrate
from core.store.database.session import Database
from core.store.queries import workers

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
SERVICES = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
GPU = yaml.safe_load((ROOT / "docker-compose.gpu.yml").read_text())["services"]
OURS = {"secrets", "api", "worker"}
SECRETS = ("/database_secret/postgres_password", "/secrets/api_key")


def stage(name):
    """Return the lines of one stage of the Dockerfile."""
    found = re.search(rf"^FROM \S+ AS {name}\n(.*?)(?=^FROM |\Z)", DOCKERFILE, re.MULTILINE | re.DOTALL)
    return found[1]


def mounts(service):
    """Return the mount path of each volume."""
    return {mount.split(":")[0]: mount.split(":")[1] for mount in SERVICES[service].get("volumes", [])}


def run(script, **environment):
    return subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environment, check=False, timeout=60)


def test_services():
    assert set(SERVICES) == {"secrets", "api", "worker", "redis", "postgres"}


def test_redis_persists_its_data_and_evicts_nothing():
    command = SERVICES["redis"]["command"]
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--appendfsync"] == "everysec"
    assert options["--maxmemory-policy"] == "noeviction"
    assert mounts("redis") == {"redis": "/data"}


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_no_capabilities_and_a_read_only_root(name):
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "privileged" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["init"] is True


@pytest.mark.parametrize("name", SERVICES)
def test_no_service_runs_as_root(name):
    if name in OURS:
        target = SERVICES[name]["build"]["target"]
        assert re.findall(r"^USER (.*)", stage(target), re.MULTILINE) == ["10001:10001"]
        assert "user" not in SERVICES[name]
    else:
        assert SERVICES[name]["user"] == name


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"secrets"}))
def test_every_long_running_service_restarts_and_has_a_health_check(name):
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    in_image = name in OURS and "\nHEALTHCHECK " in stage(service["build"]["target"])
    assert in_image != bool(service.get("healthcheck", {}).get("test"))


def test_order_of_start():
    healthy, done = {"condition": "service_healthy"}, {"condition": "service_completed_successfully"}
    for name in ("api", "worker"):
        assert SERVICES[name]["depends_on"] == {"secrets": done, "postgres": healthy, "redis": healthy}
    assert SERVICES["postgres"]["depends_on"] == {"secrets": done}
    assert SERVICES["secrets"]["restart"] == "no"


def test_only_the_api_is_published_and_only_on_loopback():
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"api": ["127.0.0.1:${EMBEDREEL_PORT:-8000}:8000"]}
    assert not any("network_mode" in service and service["network_mode"] != "none" for service in SERVICES.values())


def test_database_and_broker_are_reached_from_the_inner_network_only():
    networks = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["networks"]
    assert networks["back"] == {"internal": True}
    assert SERVICES["redis"]["networks"] == SERVICES["postgres"]["networks"] == ["back"]


def test_api_and_worker_share_the_artifacts():
    settings = Settings(home=Path("/data"))
    assert re.search(r"EMBEDREEL_HOME=/data\b", stage("runtime"))
    assert mounts("api")["artifacts"] == mounts("worker")["artifacts"] == str(settings.artifacts)


def test_worker_has_time_to_queue_its_task_again():
    grace = int(SERVICES["worker"]["stop_grace_period"].removesuffix("s"))
    assert grace >= Settings().cancel_grace_seconds + 10


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_pinned(name):
    image, _, tag = SERVICES[name]["image"].partition(":")
    if name in OURS:
        assert (image, tag) == (f"embedreel-{SERVICES[name]['build']['target']}", PROJECT["version"])
    else:
        assert re.fullmatch(r"\d+\.\d+(\.\d+)?-bookworm", tag)


def test_base_image_is_pinned():
    bases = set(re.findall(r"^FROM (\S+:\S+)", DOCKERFILE, re.MULTILINE))
    assert len(bases) == 1
    assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm", bases.pop())


def test_variables_are_settings():
    used = {name for service in OURS for name in SERVICES[service].get("environment", {})} - {"HF_TOKEN"}
    assert {name.removeprefix("EMBEDREEL_").lower() for name in used} <= set(Settings.model_fields)


def test_no_file_contains_a_secret():
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if re.search("PASSWORD|KEY|TOKEN|SECRET", name):
                assert value is None or (name.endswith("_FILE") and value in SECRETS)
            elif isinstance(value, str) and "://" in value:
                assert not re.search(r"://[^/@]*:[^/@]*@", value)
    assert not re.search("PASSWORD|KEY|TOKEN", "\n".join(re.findall(r"^(?:ARG|ENV) .*", DOCKERFILE, re.MULTILINE)))


def test_secrets_are_read_only_and_only_where_they_are_needed():
    mounted = {
        name: {mount for mount in service.get("volumes", []) if "secret" in mount} for name, service in SERVICES.items()
    }
    key, password = "secrets:/secrets", "database-secret:/database_secret"
    assert mounted == {
        "secrets": {key, password},
        "api": {f"{key}:ro", f"{password}:ro"},
        "worker": {f"{password}:ro"},
        "postgres": {f"{password}:ro"},
        "redis": set(),
    }
    assert SERVICES["postgres"]["group_add"] == ["10001"]
    owned = re.search(r"install -d -o embedreel -g embedreel -m 0750 (.*)", stage("runtime"))[1].split()
    assert {"/secrets", "/database_secret"} <= set(owned), "a volume belongs to whom the image's folder does"


def make_secrets(folder):
    """Run the script of the compose file on the volumes in a folder. Returns password and key."""
    script = SERVICES["secrets"]["command"][-1]
    assert run(re.sub(r'"(/(?:secrets|database_secret)/)', rf'"{folder}\1', script)).returncode == 0
    files = [folder / path[1:] for path in SECRETS]
    assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o440, 0o440]
    return [file.read_text() for file in files]


def volumes(folder):
    for path in SECRETS:
        (folder / path[1:]).parent.mkdir(parents=True)
    return folder


def test_secrets_are_made_once_at_random(tmp_path):
    made = []
    for machine in ("one", "other"):
        folder = volumes(tmp_path / machine)
        for _ in range(2):
            (folder / "secrets" / "api_key.draft").write_text("cut off")
            made.append(make_secrets(folder))
    first, again, other, _ = made
    assert first == again
    assert len({*first, *other}) == 4
    assert all(len(secret.strip()) >= 43 for secret in first)


def test_a_password_beside_the_key_is_moved(tmp_path):
    folder = volumes(tmp_path)
    (folder / "secrets" / "postgres_password").write_text("what the database knows\n")
    assert make_secrets(folder)[0] == "what the database knows\n"
    assert [path.name for path in (folder / "secrets").iterdir()] == ["api_key"]


def test_worker_is_healthy_while_it_sends_heartbeats(tmp_path):
    check = SERVICES["worker"]["healthcheck"]["test"]
    assert check[:2] == ["CMD", "python"]
    home = {"EMBEDREEL_HOME": str(tmp_path)}
    database = Database(Settings(home=tmp_path).database)
    migrate.upgrade(database)
    answers = []
    for worker_id in ("another-host-1-abcdef", f"{socket.gethostname()}-1-abcdef"):
        with database.writing() as session:
            workers.beat(session, worker_id, queues=["gpu"], device="cpu")
        answers.append(
            subprocess.run([sys.executable, *check[2:]], cwd=ROOT, env=home, check=False, timeout=60).returncode
        )
    database.close()
    assert answers == [1, 0]


def test_gpu_override_reserves_a_gpu_and_takes_the_cuda_build_of_torch():
    assert set(GPU) == {"worker"}
    (device,) = GPU["worker"]["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
    assert GPU["worker"]["build"]["args"] == {"TORCH_INDEX": ""}
    assert GPU["worker"]["image"] == f"embedreel-worker:{PROJECT['version']}-cuda"
    assert re.search(r"^ARG TORCH_INDEX=\S+/cpu$", stage("worker-packages"), re.MULTILINE)


def test_images_contain_only_what_they_need():
    assert "COPY --from=api-source /app /app" in stage("api")
    assert "COPY --from=worker-source /app /app" in stage("worker")
    assert re.findall(r"^COPY (\w+) ", stage("api-source") + stage("worker-source"), re.MULTILINE) == ["api", "worker"]
    needed = {"/project/api.txt": "api-packages", "/project/worker.txt": "worker-packages"}
    assert all(f"COPY --from=project {file} ." in stage(name) for file, name in needed.items())


def test_the_api_can_reach_redis_with_what_its_image_installs():
    # kombu's Redis transport imports packages of this extra; worker and tests have them through other packages
    assert [one for one in PROJECT["dependencies"] if one.startswith("celery[redis]==")]


def test_constraints_agree_with_the_project():
    pins = dict(re.findall(r"^([^#=\s]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    direct = [*PROJECT["dependencies"], *(one for extra in PROJECT["optional-dependencies"].values() for one in extra)]
    named = [re.fullmatch(r"([\w.-]+)(?:\[.*\])?==(.+)", requirement).groups() for requirement in direct]
    assert {name: pins.get(name.lower().replace("_", "-")) for name, _ in named} == dict(named)
    assert not [pin for pin in pins.values() if "+" in pin]
