# The builder: Go, C compilers, Clusterpedia's sources, servers and plugins, the tool
# clusterpedia, and warm caches. It builds storage plugins for this release:
#
#   docker run -v $PWD:/plugin -e PLUGIN_REPO=/plugin BUILDER /builder.sh plugins NAME.so
ARG GO_IMAGE=golang:1.26.8-bookworm
FROM ${GO_IMAGE}
RUN apt-get update && \
    apt-get install -y --no-install-recommends gcc-aarch64-linux-gnu libc6-dev-arm64-cross gcc-x86-64-linux-gnu libc6-dev-amd64-cross libcap2-bin && \
    rm -rf /var/lib/apt/lists/*
ENV CLUSTERPEDIA_REPO=/clusterpedia GOTOOLCHAIN=local
WORKDIR /clusterpedia
COPY . .
ARG VERSION
RUN make all VERSION=${VERSION} BIN=/usr/local/bin && \
    ln -s /clusterpedia/hack/builder.sh /builder.sh
