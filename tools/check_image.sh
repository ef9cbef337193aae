#!/usr/bin/env bash
# Builds the Dockerfile without a container engine, starts the image and asks it whether it is healthy.
#
#   sudo tools/check_image.sh
#
# Needs root on Debian, buildah and debootstrap. The base image is made here, from Debian's packages, so that no
# image registry is needed; BASE=python:3.12-slim tools/check_image.sh takes a real one. Everything lives in a temporary
# folder and is gone afterwards. Also checks the Dockerfile with hadolint and the Compose file against its schema, where
# those two programs are on the PATH.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

work=$(mktemp -d)
export STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot TMPDIR="$work"
buildah() { command buildah --root "$work/storage" --runroot "$work/run" "$@"; }
server=""
finish() {
    if [ -n "$server" ]; then kill -- "-$server" 2>/dev/null || true; fi
    wait 2>/dev/null || true
    buildah rm --all >/dev/null 2>&1 || true
    umount "$work/storage/overlay" 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

if command -v hadolint >/dev/null; then
    hadolint Dockerfile
    echo "Dockerfile: hadolint finds nothing."
fi
if command -v check-jsonschema >/dev/null; then
    check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
fi

base=${BASE:-}
if [ -z "$base" ]; then
    echo "Making a base image from Debian's packages ..."
    mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep --max-count=1 /debian)
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$work/base" "$mirror" \
        >"$work/debootstrap.log" || { tail "$work/debootstrap.log"; exit 1; }
    container=$(buildah from scratch)
    buildah add --quiet "$container" "$work/base" / >/dev/null
    buildah commit --quiet --rm "$container" localhost/base:1 >/dev/null
    rm -rf "$work/base"
    base=localhost/base:1
fi

# What the host trusts and how it reaches its package registries holds inside, too.
mounts=()
for file in /etc/ssl/certs /etc/pip.conf /etc/resolv.conf; do
    if [ -e "$file" ]; then mounts+=(--volume "$file:$file:ro"); fi
done
buildah bud --quiet --format docker --network host "${mounts[@]}" --build-arg "BASE=$base" --tag localhost/stepscope:check . >/dev/null
echo "The image is built: $(buildah images --format '{{.Size}}' localhost/stepscope:check)" \
    "on a base of $(buildah images --format '{{.Size}}' "$base")."

container=$(buildah from localhost/stepscope:check)
run() { buildah run --network host "$container" -- "$@"; }
test "$(run id -u)" = 10001
if run sh -c 'touch /opt/stepscope/x' 2>/dev/null; then
    echo "The service can change its own code." >&2
    exit 1
fi
run sh -c '! command -v node && ! test -e /opt/stepscope/bin/pip'

# Port 4747 is the image's; the health check asks there. The command and the check are those of the image.
mapfile -t command < <(buildah inspect --type image --format '{{range .OCIv1.Config.Cmd}}{{println .}}{{end}}' \
    localhost/stepscope:check | sed '/^$/d')
mapfile -t health < <(buildah inspect --type image --format '{{range .Docker.Config.Healthcheck.Test}}{{println .}}{{end}}' \
    localhost/stepscope:check | sed '/^$/d')
set -m
run "${command[@]}" >"$work/log" 2>&1 &
server=$!
for _ in $(seq 60); do
    if run "${health[@]:1}" 2>/dev/null; then
        echo "It starts as user 10001 and is healthy. It said:"
        cat "$work/log"
        exit 0
    fi
    if ! kill -0 "$server" 2>/dev/null; then break; fi
    sleep 0.5
done
echo "It does not become healthy. It said:" >&2
cat "$work/log" >&2
exit 1
