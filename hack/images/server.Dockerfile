# A server: itself, the storage plugins "internal" and "memory", and the C library.
ARG BUILDER_IMAGE
FROM ${BUILDER_IMAGE} AS build
ARG BIN_NAME
RUN hack/images/rootfs.sh ${BIN_NAME} /rootfs

FROM scratch
ARG BIN_NAME
COPY --from=build /rootfs/ /
USER 65532:65532
WORKDIR /
ENV PATH=/usr/local/bin GODEBUG=netdns=go
# Manifests name the command: the image has no entry point, as in earlier releases.
