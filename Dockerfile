# The image of the controller: one static program, and nothing else. No CA certificates: in a cluster the API server's
# comes with the service account. musl, whose resolver needs no files but /etc/resolv.conf.
# scripts/image.sh makes the same image without a registry; scripts/ci/dockerfile.sh proves that it is the same.
FROM rust:1.95.0-slim-bookworm AS build
# ring has a little C.
RUN apt-get update && apt-get install -y --no-install-recommends musl-tools
RUN rustup target add "$(uname -m)-unknown-linux-musl"
WORKDIR /src
# Without rust-toolchain.toml, which would fetch rustfmt and clippy.
COPY Cargo.toml Cargo.lock ./
# Cargo reads the manifest of every member of the workspace, and wants each to have a source. Only tests use this one.
COPY crates/testkit/Cargo.toml crates/testkit/
# First an empty program: a layer with the dependencies, kept as long as Cargo.toml and Cargo.lock are the same.
RUN mkdir src crates/testkit/src && touch src/lib.rs crates/testkit/src/lib.rs \
    && echo 'fn main() {}' >src/main.rs \
    && cargo build --release --locked --bin poolkeeper --target "$(uname -m)-unknown-linux-musl"
COPY src src
# Files are copied with their times: without touch, cargo would take the empty program for the newer one.
RUN touch src/lib.rs src/main.rs \
    && cargo build --release --locked --bin poolkeeper --target "$(uname -m)-unknown-linux-musl" \
    && cp target/*-unknown-linux-musl/release/poolkeeper /poolkeeper

FROM scratch
COPY --from=build /poolkeeper /poolkeeper
USER 65532:65532
ENTRYPOINT ["/poolkeeper"]
