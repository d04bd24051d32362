# The CPU build of genfilt and trainer, from the frozen versions.
#   docker build -t genfilt .
#   docker run --rm -v "$PWD/data:/data" genfilt genfilt status
# With an NVIDIA GPU: --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu128 and docker run --gpus all
FROM python:3.11-slim-bookworm

ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PYTHONUNBUFFERED=1 \
    GENFILT_DB=/data/genfilt.duckdb

# OpenMP, which scikit-learn and torch load on the CPU.
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /src
COPY pyproject.toml setup.py constraints.txt README.md LICENSE ./
COPY genfilt genfilt
COPY trainer trainer
COPY prompts prompts
RUN PIP_EXTRA_INDEX_URL=$TORCH_INDEX pip install -c constraints.txt .

RUN useradd --create-home shop && mkdir /data && chown shop /data
USER shop
WORKDIR /data
VOLUME /data
CMD ["genfilt", "--help"]
