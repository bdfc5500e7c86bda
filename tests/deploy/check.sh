#!/usr/bin/env bash
# `make check-deploy`: builds the image, starts docker-compose.yml, runs the demo, and checks that each
# process stops in time. Prints its measurements.
#
#   tests/deploy/check.sh               with a container engine and the real servers' images
#   tests/deploy/check.sh --stand-ins   without either: as root on Debian, with an engine of its own
#                                       from Debian's packages and the local stack's servers
#
# WORK (default: a new folder under /tmp) keeps the builds of --stand-ins for the next run.
set -Eeuo pipefail
cd "$(dirname "$0")/../.."
BIN=${BIN:-$PWD/.venv/bin}
IMAGE=cart-service:check
DEV_IMAGE=cart-service-dev:check
export CART_VERSION=check
JWT_SECRET=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
export JWT_SECRET

main() {
    case "${1-}" in
        "") build_image; system ;;
        --stand-ins) stand_ins ;;
        --inside) inside ;;
        *) sed -n '2,11p' "$0"; exit 2 ;;
    esac
}

since() { awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f s", b - a }'; }

build_image() {
    local start=$EPOCHREALTIME
    docker build --quiet --tag "$IMAGE" .
    docker build --quiet --target dev --tag "$DEV_IMAGE" .
    echo "built in $(since "$start")"
}

# --- The system, on whatever engine `docker` speaks to

compose() { "$BIN/docker-compose" "${FILES[@]}" --project-name cart-check --profile app "$@"; }
FILES=(--file docker-compose.yml)

system() {
    trap 'compose logs --tail 30 >&2; compose down --volumes --timeout 5' ERR
    docker image inspect --format 'image: {{.Size}} bytes, unpacked' "$IMAGE"
    local start=$EPOCHREALTIME
    compose up --detach --no-build --wait --wait-timeout 600
    echo "everything up and healthy after $(since "$start")"
    compose run --rm cart demo
    start_to_ready
    stops_well
    trap - ERR
    compose down --volumes --timeout 5
}

# From the start of the API's container until it can serve.
start_to_ready() {
    docker stop cart-check-api-1
    local start=$EPOCHREALTIME
    docker start cart-check-api-1
    until curl --silent --fail --output /dev/null http://127.0.0.1:4007/health/ready; do sleep 0.05; done
    echo "API ready $(since "$start") after the start of its container"
    # Independent of the load of the machine.
    local process
    process=/proc/$(docker inspect --format '{{.State.Pid}}' cart-check-api-1)/stat
    [ ! -e "$process" ] || awk '{ print "of which on a processor: " ($14 + $15) / 100 " s" }' "$process"
}

stops_well() {
    compose stop api worker consumer inventory
    local name code
    for name in api worker consumer inventory; do
        code=$(docker inspect --format '{{.State.ExitCode}}' "cart-check-$name-1")
        echo "$name ended with $code"
        [ "$code" = 0 ]
    done
}

# --- Without an engine and without a registry

BASE=python:3.13.14-slim  # of Dockerfile, made of Debian's packages

stand_ins() {
    WORK=${WORK:-$(mktemp -d)}
    export WORK
    mkdir -p "$WORK/engine" "$WORK/debs"
    if [ ! -e "$WORK/engine/usr/sbin/dockerd" ]; then
        (cd "$WORK/debs" && apt-get download -qq docker.io containerd runc tini)
        for package in "$WORK"/debs/*.deb; do dpkg -x "$package" "$WORK/engine"; done
    fi
    if ! storage inspect --type image "$BASE" > /dev/null 2>&1; then
        mmdebstrap --variant=minbase --include=ca-certificates,python3,python3-pip,python3-venv \
            trixie "$WORK/base.tar"
        local container
        container=$(storage from scratch)
        storage add -q "$container" "$WORK/base.tar" /
        storage commit -q --rm "$container" "$BASE"
        rm "$WORK/base.tar"
    fi
    local start=$EPOCHREALTIME image
    built Dockerfile "$IMAGE"
    built Dockerfile "$DEV_IMAGE" --target dev
    echo "built in $(since "$start")"
    storage inspect --type image cart-standins > /dev/null 2>&1 \
        || built tests/deploy/standins/Dockerfile cart-standins:latest --ignorefile /dev/null
    for image in "$IMAGE" "$DEV_IMAGE" cart-standins:latest; do
        rm -f "$WORK/${image%:*}.tar"
        storage push -q "localhost/$image" "docker-archive:$WORK/${image%:*}.tar:$image"
    done
    unshare --net --mount --pid --fork --mount-proc "$0" --inside
}

storage() { buildah --root "$WORK/images" --runroot "$WORK/run" --storage-driver vfs "$@"; }

built() {
    local file=$1 tag=$2
    shift 2
    printf '[global]\ncert = /run/secrets/ca\n' > "$WORK/pip.conf"
    storage bud --quiet --format docker --isolation chroot --network host --pull-never \
        --secret "id=ca,src=${PIP_CERT:-/etc/ssl/certs/ca-certificates.crt}" \
        --secret "id=pip.conf,src=$WORK/pip.conf" --file "$file" --tag "$tag" "$@" .
}

# In its own network, mount and process namespaces, which end with it.
inside() {
    ip link set lo up
    export PATH="$WORK/engine/usr/sbin:$WORK/engine/usr/bin:$PATH"
    export DOCKER_HOST=unix:///run/docker.sock
    mount -t tmpfs tmpfs /run  # of what an earlier run has left there, nothing
    dockerd --data-root "$WORK/data" --exec-root /run/docker --host "$DOCKER_HOST" \
        --pidfile /run/docker.pid --storage-driver overlay2 > "$WORK/dockerd.log" 2>&1 &
    until docker info > /dev/null 2>&1; do kill -0 $!; sleep 0.5; done
    docker load --quiet --input "$WORK/cart-service.tar"
    docker load --quiet --input "$WORK/cart-service-dev.tar"
    docker load --quiet --input "$WORK/cart-standins.tar"
    FILES+=(--file tests/deploy/standins/docker-compose.yml)
    system
}

main "$@"
