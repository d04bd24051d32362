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

# The paper's rule and sigma, as they are: with these embeddings they find little.
run genfilt filter --sigma 0.9 --floor 0.6
run genfilt audit --target-precision 0.95 --format csv

# The same sigma as a probability, fitted on the train split's clicks and labels.
run genfilt filter --rule calibrated --sigma 0.9
run genfilt audit --target-precision 0.95
run genfilt status
run genfilt sql "SELECT query, title, caption, round(score, 3) AS score, reasons
    FROM query_product_corrections ORDER BY score DESC, query, title LIMIT 10"
run genfilt report --out "$DEMO/report.html"
run genfilt export positives --out "$DEMO/positives.parquet"

printf '\nLook at %s/report.html in a browser.\nAsk the tables: .venv/bin/genfilt sql --db %s "SELECT * FROM query_product_corrections"\n' \
    "$DEMO" "$GENFILT_DB"
