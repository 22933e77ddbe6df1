# The operator's image.
#
#   python -m demo.wheelhouse          # fills dist/wheels; the build itself needs no network
#   docker build -t crm-operator .     # or buildah bud, or any other builder
#
# BASE needs Python 3.11 with venv, nothing else. Runs as 65532 on a read-only root file system.
ARG BASE=docker.io/library/python:3.11-slim

FROM ${BASE} AS install
# The environment that is shipped has no pip in it; the one that fills it stays behind.
RUN python3 -m venv /tmp/installer && python3 -m venv --without-pip /opt/crm-operator
ENV PIP_NO_INDEX=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_PYTHON=/opt/crm-operator/bin/python3
COPY requirements/runtime.txt /requirements.txt
COPY dist/wheels/deps /wheels
RUN /tmp/installer/bin/pip install --require-hashes --find-links /wheels --requirement /requirements.txt
# Last, because it changes most; the locked requirements are all that it needs, and pip check says so.
COPY dist/wheels/own /own
RUN /tmp/installer/bin/pip install --no-deps /own/*.whl && /tmp/installer/bin/pip check

FROM ${BASE}
LABEL org.opencontainers.image.title="crm-operator" \
      org.opencontainers.image.description="Kubernetes operator for queue workers that sync CRMs" \
      org.opencontainers.image.licenses="Apache-2.0"
# A name for the user id: Python's getpass, which Kopf calls for its identity, fails without one.
RUN echo 'nonroot:x:65532:65532:nonroot:/nonexistent:/usr/sbin/nologin' >> /etc/passwd \
 && echo 'nonroot:x:65532:' >> /etc/group
COPY --from=install /opt/crm-operator /opt/crm-operator
ENV PATH=/opt/crm-operator/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /tmp
USER 65532:65532
# Metrics and probes.
EXPOSE 8080
ENTRYPOINT ["crm-operator"]
CMD ["run"]
