# syntax=docker/dockerfile:1
# The operator as one static binary in an image without a shell.
# For several platforms: docker buildx build --platform linux/amd64,linux/arm64 --build-arg VERSION=… .

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
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -ldflags "-s -w -X main.version=$VERSION" -o /clientbinding-operator .

# Certificate authorities and time zones, no shell, no package manager.
FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /clientbinding-operator /clientbinding-operator
# By number, so that Kubernetes can check runAsNonRoot.
USER 65532:65532
ENTRYPOINT ["/clientbinding-operator"]
