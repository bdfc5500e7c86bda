# One image for every process, chosen by the arguments (`make image` builds it):
#
#   docker run IMAGE                        the API
#   docker run IMAGE python -m worker       or consumer
#   docker run --rm IMAGE cart doctor       the cart command
#
# `--target dev` has the reference inventory (python -m inventory) and `cart demo` as well.
#
# Behind a proxy with its own certificate authority, give its certificate and a pip.conf that names it:
#   docker build --secret id=ca,src=ca.pem --secret id=pip.conf,src=pip.conf …

FROM python:3.13.14-slim AS build
WORKDIR /src

# `strip` removes debug symbols from the libraries: a sixth of the image.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends binutils \
    && rm -rf /var/lib/apt/lists/*

# Builds the service's own wheel.
COPY requirements-build.lock ./
RUN --mount=type=secret,id=ca,target=/run/secrets/ca,required=false \
    --mount=type=secret,id=pip.conf,target=/etc/pip.conf,required=false \
    python3 -m venv /opt/build \
    && /opt/build/bin/pip install --no-cache-dir --require-hashes \
        --requirement requirements-build.lock

COPY requirements.lock ./
RUN --mount=type=secret,id=ca,target=/run/secrets/ca,required=false \
    --mount=type=secret,id=pip.conf,target=/etc/pip.conf,required=false \
    python3 -m venv --without-pip /opt/venv \
    && /opt/build/bin/pip --python /opt/venv/bin/python3 install --no-cache-dir --no-compile \
        --require-hashes --only-binary :all: --requirement requirements.lock

COPY . ./
RUN /opt/build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --no-index \
        --wheel-dir /opt/wheel . \
    && /opt/build/bin/pip --python /opt/venv/bin/python3 install --no-cache-dir --no-compile \
        --no-deps --no-index /opt/wheel/*.whl \
    && python3 deploy/image/rootfs.py /opt/venv /rootfs


# For developers only, readable by any user.
FROM build AS build-dev
RUN mkdir /opt/dev \
    && cp -r dev inventory.py /opt/dev \
    && chmod -R a+rX /opt/dev


# Python, the service and the libraries that they load; no shell, no package manager.
FROM scratch AS service
COPY --from=build /rootfs /

ENV PATH=/opt/venv/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    HOST=0.0.0.0 \
    HEARTBEAT_FILE=/tmp/heartbeat
USER 10001:10001
EXPOSE 4007 9464 9465
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=10s --start-period=60s --retries=3 \
    CMD ["python", "-m", "heartbeat", "/tmp/heartbeat"]
CMD ["python", "-m", "api"]


FROM service AS dev
COPY --from=build-dev /opt/dev /opt/dev
ENV PYTHONPATH=/opt/dev
EXPOSE 4008


# The last stage is built without `--target`.
FROM service
