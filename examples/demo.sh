#!/bin/sh
# The main job on a generated catalogue. Every command is printed as it runs.
set -eu

DEMO=artifacts/demo
export GENFILT_DB="$DEMO/genfilt.duckdb"

run() {
    printf '\n$'
    for word in "$@"; do
        case $word in
            *[!A-Za-z0-9_./:=,-]*) printf ' "%s"' "$word" ;;
            *) printf ' %s' "$word" ;;
        esac
    done
    printf '\n'
    "$@"
}

mkdir -p "$DEMO"
rm -rf "$GENFILT_DB" "$DEMO/shop"

printf 'export GENFILT_DB=%s\n' "$GENFILT_DB"
run genfilt synth --products 400 --out "$DEMO/shop"
run genfilt ingest --products "$DEMO/shop/products.csv" --queries "$DEMO/shop/queries.csv" \
    --clicks "$DEMO/shop/clicks.csv" --labels "$DEMO/shop/labels.csv" --images "$DEMO/shop"
run genfilt extract
run genfilt filter --sigma 0.9 --floor 0.6
run genfilt status
run genfilt audit --target-precision 0.95
run genfilt sql "SELECT query, title, image_text AS caption, round(score, 3) AS score
    FROM qp_candidates JOIN query_no USING (q) JOIN queries USING (query_id)
    JOIN product_no USING (f) JOIN products USING (product_id) JOIN features USING (f)
    ORDER BY score DESC, query, title LIMIT 10"

printf '\nThe tables are in %s.\nAsk them: .venv/bin/genfilt sql --db %s "SELECT * FROM query_product_corrections"\n' \
    "$GENFILT_DB" "$GENFILT_DB"
