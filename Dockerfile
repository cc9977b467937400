# Two images of one source: `api` (no torch) and `worker`.
#
#     docker build --target api .
#     docker build --target worker .                            torch for the CPU
#     docker build --target worker --build-arg TORCH_INDEX= .   torch with CUDA, which is what pip's own index has

FROM python:3.11.14-slim-bookworm AS base
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

# What pyproject.toml says, in parts, so that a change of its other parts reinstalls nothing.
FROM base AS project
WORKDIR /project
COPY pyproject.toml .
RUN python -c "import pathlib, tomllib; \
project = tomllib.loads(pathlib.Path('pyproject.toml').read_text())['project']; \
extras = project['optional-dependencies']; \
wanted = {'api': ('api', 's3'), 'worker': ('worker', 's3', 'lora')}; \
[pathlib.Path(f'{image}.txt').write_text('\n'.join(sum((extras[name] for name in names), project['dependencies']))) for image, names in wanted.items()]; \
metadata = pathlib.Path('installed', f'embedreel-{project[\"version\"]}.dist-info', 'METADATA'); \
metadata.parent.mkdir(parents=True); \
metadata.write_text(f'Metadata-Version: 2.1\nName: embedreel\nVersion: {project[\"version\"]}\n')"

FROM base AS packages
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /packages
RUN python -m venv --without-pip /opt/venv
COPY constraints.txt .

FROM packages AS api-packages
COPY --from=project /project/api.txt .
RUN pip --python /opt/venv/bin/python install --constraint constraints.txt --requirement api.txt

# torch alone comes from its own index: no other package can be slipped in from there.
FROM packages AS worker-packages
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
COPY --from=project /project/worker.txt .
RUN pip --python /opt/venv/bin/python install --no-deps ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} "$(grep '^torch==' worker.txt)" \
 && pip --python /opt/venv/bin/python install --constraint constraints.txt --requirement worker.txt

# The source, with the bytecode that the running containers cannot write.
FROM base AS source
WORKDIR /app
COPY --from=project /project/installed ./
COPY core core
COPY migrations migrations

FROM source AS api-source
COPY api api
RUN python -m compileall -q --invalidation-mode unchecked-hash .

FROM source AS worker-source
COPY worker worker
RUN python -m compileall -q --invalidation-mode unchecked-hash .

# A user of fixed id, who owns the folders that volumes are mounted on and nothing else.
FROM base AS runtime
RUN groupadd --gid 10001 embedreel \
 && useradd --uid 10001 --gid 10001 --no-log-init --no-create-home --home-dir /tmp --shell /usr/sbin/nologin embedreel \
 && install -d -o embedreel -g embedreel -m 0750 /data /data/artifacts /data/hub /secrets /database_secret
ENV EMBEDREEL_HOME=/data \
    HOME=/tmp \
    PYTHONPATH=/app
WORKDIR /app
STOPSIGNAL SIGTERM

# The copied files stay root's: what runs here cannot change them.
FROM runtime AS api
USER 10001:10001
# Reached through a published port: it will not start without EMBEDREEL_API_KEY or EMBEDREEL_API_KEY_FILE.
ENV EMBEDREEL_HOST=0.0.0.0 \
    EMBEDREEL_PORT=8000
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
  CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f'http://127.0.0.1:{os.environ[\"EMBEDREEL_PORT\"]}/livez', timeout=4)"]
CMD ["python", "-m", "api"]
COPY --from=api-packages /opt/venv /opt/venv
COPY --from=api-source /app /app

# Names of classes in any script: letters that DejaVu Sans lacks, and what joins and turns those of Arabic.
FROM runtime AS worker
RUN apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends fonts-noto-cjk libfribidi0 \
 && rm -rf /var/lib/apt/lists/*
USER 10001:10001
ENV HF_HOME=/data/hub \
    HF_HUB_DISABLE_TELEMETRY=1
CMD ["python", "-m", "worker"]
COPY --from=worker-packages /opt/venv /opt/venv
COPY --from=worker-source /app /app
