# syntax=docker/dockerfile:1
# The operator as one static binary in an image without a shell.
# `make docker-build` and `make docker-buildx` give it the arguments; `make image` makes an image like it without a container engine.

# Built on the platform of the builder and cross-compiled, which needs no emulation.
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
WORKDIR /src

# Modules change less often than code: this layer is kept.
COPY go.mod go.sum ./
RUN go mod download

COPY . .
ARG TARGETOS
ARG TARGETARCH
ARG VERSION=dev
ARG COMMIT=unknown
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$VERSION -X main.commit=$COMMIT" -o /clientbinding-operator .

# Certificate authorities and time zones, no shell, no package manager.
FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /clientbinding-operator /clientbinding-operator
# By number, so that Kubernetes can check runAsNonRoot.
USER 65532:65532
ARG VERSION=dev
ARG COMMIT=unknown
LABEL org.opencontainers.image.title="clientbinding-operator" \
      org.opencontainers.image.description="Makes access to client accounts on the Delos Financial platform declarative." \
      org.opencontainers.image.vendor="Delos Financial" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/delos-financial/clientbinding-operator" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$COMMIT"
ENTRYPOINT ["/clientbinding-operator"]
