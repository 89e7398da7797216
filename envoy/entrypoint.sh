#!/bin/sh
# The entry point of all three images: `entrypoint.sh control-plane | backend | envoy`. What differs from place to place
# comes from the environment; see docker-compose.yml.
set -eu
case "${1:-}" in
control-plane)
    exec tokengate serve
    ;;
backend)
    exec demo-backend "${TOKENGATE_BACKEND_LISTEN:-0.0.0.0:8082}"
    ;;
envoy)
    : "${TOKENGATE_SYNC_KEY:?is the secret shared with the control plane; set it for both}"
    config=${TOKENGATE_ENVOY_CONFIG:-/tmp/envoy.yaml}
    tokengate envoy-config --bootstrap >"$config"
    exec envoy --config-path "$config" --disable-hot-restart --log-level warning --component-log-level wasm:info
    ;;
*)
    echo "usage: entrypoint.sh control-plane | backend | envoy" >&2
    exit 64
    ;;
esac
