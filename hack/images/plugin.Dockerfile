# A storage layer: its plugin for this release, and nothing else. The chart runs it as
# an init container, with copy-plugins of a server's image, which copies /plugins into
# the servers' directory.
ARG BUILDER_IMAGE
FROM ${BUILDER_IMAGE} AS build
ARG VERSION=v0.0.0-unset
WORKDIR /plugin
COPY . .
RUN clusterpedia plugin build --host /usr/local/bin/apiserver --plugin-version ${VERSION} -o /plugins/ .

FROM scratch
COPY --from=build /plugins/ /plugins/
