# The training job with CUDA: `docker build -f infra/docker/trainer.Dockerfile -t trainer .`, pushed to ECR, is
# TrainingImage of infra/template.yaml.
FROM nvidia/cuda:12.8.1-devel-ubuntu24.04 AS build
RUN apt-get update && apt-get install -y --no-install-recommends build-essential ca-certificates curl \
    && rm -rf /var/lib/apt/lists/* \
    && curl -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal --default-toolchain 1.95.0
ENV PATH=/root/.cargo/bin:$PATH
WORKDIR /dunlin
COPY . .
RUN --mount=type=cache,target=/root/.cargo/registry --mount=type=cache,target=/dunlin/models/trainer/target \
    cd models/trainer && cargo build --release --locked --no-default-features --features cuda \
    && cp target/release/dunlin-train /usr/local/bin/

# Kernels are compiled when they are first run: NVRTC is needed, the compiler is not.
FROM nvidia/cuda:12.8.1-runtime-ubuntu24.04
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*
COPY --from=build /usr/local/bin/dunlin-train /usr/bin/dunlin-train
# SageMaker's folders belong to root.
ARG USER=65532:65532
USER $USER
WORKDIR /tmp
ENTRYPOINT ["/usr/bin/dunlin-train"]
