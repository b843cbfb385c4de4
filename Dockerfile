# Everything that a Ray node needs, for the cluster manifests in cluster/manifests. Two targets:
#   docker build --target cpu  --tag neoberta:0.1.0-cpu  --build-arg PIP_EXTRA_INDEX_URL=<PyTorch's CPU index> .
#   docker build --target cuda --tag neoberta:0.1.0-cuda .
# Without the build argument the CPU image works too, and carries CUDA's libraries for nothing.

FROM python:3.11.14-slim-bookworm AS base
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# g++ compiles DeepSpeed's CPU operator; Ray's cluster launcher needs ssh and rsync. Debian keeps only a package's last version.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ openssh-client rsync \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 --shell /bin/bash ray
USER 1000:1000
WORKDIR /home/ray
ENV PATH=/home/ray/venv/bin:$PATH \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    TORCH_EXTENSIONS_DIR=/home/ray/torch_extensions
RUN python -m venv venv
COPY --chown=1000:1000 constraints.txt ./

FROM base AS wheel
COPY --chown=1000:1000 . source
RUN pip wheel --no-deps --wheel-dir wheels ./source

FROM base AS cpu
ARG PIP_EXTRA_INDEX_URL
RUN pip install "$(grep '^torch==' constraints.txt)"
COPY --from=wheel --chown=1000:1000 /home/ray/wheels wheels
RUN pip install --constraint constraints.txt "$(echo wheels/*.whl)[all]" && python -m cluster.deepspeed_engine
COPY --chown=1000:1000 ray_jobs/configs studies
CMD ["neoberta", "--help"]

FROM base AS cuda
RUN pip install "$(grep '^torch==' constraints.txt)"
COPY --from=wheel --chown=1000:1000 /home/ray/wheels wheels
RUN pip install --constraint constraints.txt "$(echo wheels/*.whl)[all]" && python -m cluster.deepspeed_engine
COPY --chown=1000:1000 ray_jobs/configs studies
CMD ["neoberta", "--help"]
