# The image of the controller: one static program, and nothing else. No CA certificates: in a cluster the API server's
# comes with the service account. musl, whose resolver needs no files but /etc/resolv.conf.
# scripts/image.sh makes the same image without a registry.
FROM rust:1.95.0-alpine AS build
RUN apk add --no-cache musl-dev
WORKDIR /src
# Without rust-toolchain.toml, which would fetch rustfmt and clippy.
COPY Cargo.toml Cargo.lock ./
COPY benches benches
COPY src src
RUN cargo build --release --locked --bin poolkeeper

FROM scratch
COPY --from=build /src/target/release/poolkeeper /poolkeeper
USER 65532:65532
ENTRYPOINT ["/poolkeeper"]
