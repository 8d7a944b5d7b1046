# One image for processors without a graphics card: `--target api`, the default, or `--target app`. docs/serving.md builds and runs it.
# The digest is what is used; the tag says what it is. Renew both together.
ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm@sha256:65a93d69fa75478d554f4ad27c85c1e69fa184956261b4301ebaf6dbb0a3543d

FROM ${PYTHON_IMAGE} AS build
# Where torch's build for processors lies: the one of the ordinary index brings gigabytes for graphics cards.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PATH=/opt/cutis/bin:${PATH}
WORKDIR /source
RUN python -m venv /opt/cutis
COPY constraints.txt ./
# Only these two come from that index, and what they need from the ordinary one, with all else.
RUN pip install --no-deps --index-url "${TORCH_INDEX}" --constraint constraints.txt torch torchvision
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN pip install --constraint constraints.txt ".[serve,app,pictures]"

FROM ${PYTHON_IMAGE} AS runtime
COPY --from=build /opt/cutis /opt/cutis
# All that is ever written goes below /tmp, which is memory (compose.yaml). HF_HUB_OFFLINE: nothing is fetched from elsewhere.
ENV PATH=/opt/cutis/bin:${PATH} \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    CUTIS_CACHE=/tmp/cutis \
    MPLCONFIGDIR=/tmp/matplotlib \
    HF_HUB_OFFLINE=1
WORKDIR /tmp
USER 10001:10001
STOPSIGNAL SIGTERM
ENTRYPOINT ["cutis"]

FROM runtime AS app
EXPOSE 8501
HEALTHCHECK --interval=30s --timeout=5s --start-period=180s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8501/_stcore/health', timeout=4)"]
CMD ["app", "/bundle", "--host", "0.0.0.0", "--port", "8501", "--allow-host", "localhost"]

FROM runtime AS api
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=180s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=4)"]
CMD ["serve", "/bundle", "--host", "0.0.0.0", "--port", "8000", "--token-file", "/run/secrets/token"]
