# The image of restore, resolve, download and collect, and what a training runs on. `runner setup` builds it, with a
# context that it makes from the installed package; every name below is explained in runner/engine/images.py.
# Only what any builder since Docker 20.10 knows: no BuildKit, no mounts.

ARG BASE_IMAGE=python:3.11-slim-bookworm
ARG ENVIRONMENT_IMAGE=environment

# Thrown away after the build: its layers hold the index settings of the host, which may be secret.
FROM ${BASE_IMAGE} AS build
USER root
ARG OWNER=""
LABEL reproducibility-runner=build reproducibility-runner.owner=${OWNER}
COPY settings /settings
COPY requirements.txt constraints.txt /settings/
RUN set -e; . /settings/environment; cd /settings; \
    python3 -m venv /opt/reproducibility-runner/venv; \
    bin=/opt/reproducibility-runner/venv/bin; \
    $bin/python -m pip install --quiet --no-cache-dir --disable-pip-version-check -c constraints.txt uv; \
    $bin/uv pip install --quiet --no-cache --compile-bytecode --python $bin/python \
        -c constraints.txt -r requirements.txt; \
    $bin/uv pip uninstall --quiet --python $bin/python pip

FROM ${BASE_IMAGE} AS environment
ARG BASE_IMAGE
USER root
RUN set -e; command -v git >/dev/null || { \
      apt-get update -qq; \
      DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends git ca-certificates >/dev/null; \
      rm -rf /var/lib/apt/lists/*; \
    }; \
    echo 'trainer:x:10001:10001::/home/trainer:/bin/bash' >> /etc/passwd; \
    echo 'trainer:x:10001:' >> /etc/group; \
    mkdir -p /home/trainer; chown 10001:10001 /home/trainer
COPY --from=build /opt/reproducibility-runner /opt/reproducibility-runner
# The one thing that a training may find on its PATH; isolated from what the training's environment says of Python.
RUN set -e; mkdir /opt/reproducibility-runner/path; cd /opt/reproducibility-runner/path; \
    printf '#!/bin/sh\nexec /opt/reproducibility-runner/venv/bin/python -I -m dvc "$@"\n' > dvc; chmod 755 dvc
LABEL reproducibility-runner=environment reproducibility-runner.base=${BASE_IMAGE}

FROM ${ENVIRONMENT_IMAGE} AS tools
COPY lib /opt/reproducibility-runner/lib
# Podman gives what it mounts to the container's user, unless the image has a folder there: then to that one's owner. The
# training must not own the folder that its own folders lie in, else it could put links in their place.
RUN set -e; mkdir /sandbox; cd /opt/reproducibility-runner/lib; \
    python=/opt/reproducibility-runner/venv/bin/python; \
    $python -c 'from reproducibility_runner.install import lay_out; \
      lay_out("/opt/reproducibility-runner/capture")'; \
    $python -m compileall -q --invalidation-mode unchecked-hash \
      /opt/reproducibility-runner/lib /opt/reproducibility-runner/capture
LABEL reproducibility-runner=tools
