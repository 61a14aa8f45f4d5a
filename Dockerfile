# The deployment image: the jobs, their locked packages, jars and Java; no demo, no tests, no tools.
#
#   docker build -t headwater .
#   docker run --init --env-file servers.env -v lake:/lake headwater jobs/run_pipeline.py --date 2025-03-31
#
# `make image-check` runs what is below without Docker.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
WORKDIR /opt/headwater
COPY pyproject.toml README.md requirements.in requirements-spark.in requirements-runtime.lock ./
COPY conf/jars.in conf/jars.lock conf/
COPY scripts scripts
COPY lib lib
RUN python3.11 scripts/setup.py --runtime
COPY jobs jobs
RUN .venv/bin/python -m compileall -q lib jobs

FROM ${PYTHON_IMAGE}
WORKDIR /opt/headwater
ENV HEADWATER_LAKE=/lake
# Hadoop asks the system for the name of its user; Spark makes its warehouse folder below .headwater.
RUN useradd --system --uid 10001 --no-create-home --home-dir /opt/headwater headwater && \
    mkdir /lake .headwater && \
    chown 10001:10001 /lake .headwater
COPY --from=build /opt/headwater/.venv .venv
COPY --from=build /opt/headwater/.cache/jars .cache/jars
COPY --from=build /opt/headwater/lib lib
COPY --from=build /opt/headwater/jobs jobs
COPY spark-submit.sh ./
COPY scripts/console.py scripts/jars.py scripts/java.py scripts/packages.py scripts/setup.py scripts/
COPY conf conf
USER 10001
VOLUME /lake
ENTRYPOINT ["./spark-submit.sh"]
