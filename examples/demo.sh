#!/bin/sh
# The whole method on a generated shop, whose truth judges it at the end. Every command is printed
# as it runs. DEMO, PRODUCTS, SEED, CLICKS, SIGMA, PRESET, EPOCHS and CLICK_EPOCHS change folder,
# shop, log and training.
set -eu

DEMO=${DEMO:-artifacts/demo}
PRODUCTS=${PRODUCTS:-1000}
SEED=${SEED:-53}
CLICKS=${CLICKS:-1}
SIGMA=${SIGMA:-0.5}
PRESET=${PRESET:-small}
EPOCHS=${EPOCHS:-3}
CLICK_EPOCHS=${CLICK_EPOCHS:-12}
export GENFILT_DB="$DEMO/genfilt.duckdb"

say() {
    printf '\n# %s\n' "$@"
}

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
rm -rf "$GENFILT_DB" "$DEMO/shop" "$DEMO/with" "$DEMO/without" "$DEMO/model"

say "A shop of $PRODUCTS products with pictures, and at most $CLICKS click(s) of each of its queries."
printf 'export GENFILT_DB=%s\n' "$GENFILT_DB"
run genfilt synth --products "$PRODUCTS" --seed "$SEED" --clicks-per-query "$CLICKS" --out "$DEMO/shop"
run genfilt ingest --products "$DEMO/shop/products.csv" --queries "$DEMO/shop/queries.csv" \
    --clicks "$DEMO/shop/clicks.csv" --images "$DEMO/shop"

say "Titles are read into attributes, pictures described; then pairs that are relevant without a
# click are found. Sigma is the estimated probability that a pair is relevant: at 0.5 it is more
# likely relevant than not."
run genfilt extract
run genfilt filter --sigma "$SIGMA"
run genfilt sql "SELECT query, title, caption, round(score, 3) AS score
    FROM query_product_corrections ORDER BY score DESC, query, title LIMIT 8"
run genfilt report --out "$DEMO/report.html"

say "Query-LIFE in two short stages: titles and pictures, then clicks, with the corrections and
# without them, from the same first stage. In a batch of 128 rows many columns answer a row's query
# that the log does not know of."
run trainer fit --stage 1 --preset "$PRESET" --epochs "$EPOCHS" --mixed-precision bf16 \
    --without genfilt --out "$DEMO/with"
mkdir -p "$DEMO/without"
cp -R "$DEMO/with/stage1" "$DEMO/without/stage1"
for arm in with without; do
    set -- --stage 2 --epochs "$CLICK_EPOCHS" --batch-size 128 --mixed-precision bf16
    if [ "$arm" = without ]; then set -- "$@" --without genfilt; fi
    run trainer fit "$@" --out "$DEMO/$arm"
done
run trainer export --out "$DEMO/with" --to "$DEMO/model"

say "Three results, judged by the shop's truth, which nothing above has read."
run python examples/demo_results.py --truth "$DEMO/shop/truth.duckdb" \
    --run "$DEMO/with" --plain "$DEMO/without"

cat <<END

The corrections as a page: $DEMO/report.html
Go on with this shop, in .venv:
  export GENFILT_DB=$GENFILT_DB
  genfilt review
  genfilt sql "SELECT * FROM query_product_corrections"
  python examples/score_products.py --model $DEMO/model "red hoodie"
Your own: README.md, "Five minutes with your own data".
END
