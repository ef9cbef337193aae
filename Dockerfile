# The service as an image: docker build -t stepscope . && docker run -p 127.0.0.1:4747:4747 -v stepscope:/data stepscope
# At the first start it prints a link that makes the administrator's account, once: docker logs shows it.

ARG BASE=python:3.12-slim

FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
RUN python3 -m venv /opt/stepscope
COPY requirements-run.lock ./
RUN /opt/stepscope/bin/pip install --require-hashes --requirement requirements-run.lock
COPY pyproject.toml README.md CHANGELOG.md LICENSE ./
COPY web web
COPY migrations migrations
COPY tracer tracer
# The front-end libraries come through a Node that lives for this build only. Pip is of no use at run time.
RUN /opt/stepscope/bin/pip install --no-deps . && /opt/stepscope/bin/pip uninstall --yes pip

FROM ${BASE}
LABEL org.opencontainers.image.title="Stepscope" \
      org.opencontainers.image.description="Shows what an LLM chain really did" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 10001 stepscope \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin stepscope \
    && install --directory --owner=10001 --group=10001 --mode=0700 /data
COPY --from=build /opt/stepscope /opt/stepscope
ENV PATH="/opt/stepscope/bin:${PATH}" PYTHONUNBUFFERED=1 STEPSCOPE_DATA=/data
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 4747
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["python3", "-c", "import http.client as h; c = h.HTTPConnection('127.0.0.1', 4747, timeout=4); c.request('GET', '/healthz'); raise SystemExit(c.getresponse().status != 200)"]
CMD ["stepscope", "serve", "--host", "0.0.0.0", "--data", "/data"]
