#!/bin/sh
# The same shop on this host alone and on a Ray cluster of two workers, and both databases compared.
set -eu

DEMO=artifacts/demo-ray
export RAY_USAGE_STATS_ENABLED=0
export OMP_NUM_THREADS=1 # as in a worker of one processor: sums in one order

run() {
    printf '\n$ %s\n' "$*"
    "$@"
}

mkdir -p "$DEMO"
rm -rf "$DEMO/shop" "$DEMO"/*.duckdb*
run genfilt synth --products 120 --out "$DEMO/shop"

for engine in local ray; do
    export GENFILT_DB="$DEMO/$engine.duckdb"
    printf '\n# export GENFILT_DB=%s\n' "$GENFILT_DB"
    run genfilt ingest --products "$DEMO/shop/products.csv" --queries "$DEMO/shop/queries.csv" \
        --clicks "$DEMO/shop/clicks.csv" --labels "$DEMO/shop/labels.csv" --images "$DEMO/shop"
    if [ "$engine" = ray ]; then
        options="--engine ray --address local --workers 2"
    else
        options=""
    fi
    # shellcheck disable=SC2086 # several words, or none
    run genfilt extract $options
    # shellcheck disable=SC2086
    run genfilt filter --rule paper --sigma 0.75 $options
done

run python examples/equal_tables.py "$DEMO/local.duckdb" "$DEMO/ray.duckdb"
