# Redis for the demo, non-root, without persistence. BASE is any image that has redis-server on its PATH.
#
#   docker build -f demo/redis.Dockerfile -t crm-dev/redis:dev .
ARG BASE=docker.io/library/redis:7-bookworm
FROM ${BASE}
USER 65532:65532
WORKDIR /tmp
EXPOSE 6379
ENTRYPOINT ["redis-server"]
CMD ["--bind", "0.0.0.0", "--protected-mode", "no", "--save", "", "--appendonly", "no", "--dir", "/tmp"]
