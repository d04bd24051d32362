-- The views that the trainer reads, as temporary ones over the file's tables. Views of the file itself
-- are never run, since a file from elsewhere may define them differently. They repeat those of
-- genfilt/store/views.sql; tests/test_contract.py compares the two.

-- A review overrides a label, a label a click. A review counts in the train split alone. Labels of
-- equal content are settled by majority, a tie is positive.
CREATE TEMP VIEW verdicts AS
WITH logged AS (
    SELECT q, p, split, label AS positive, 2 AS rank, 'label' AS source
    FROM labels JOIN query_no USING (query_id) JOIN product_no USING (product_id)
    UNION ALL
    SELECT q, p, split, 1, 1, 'click'
    FROM clicks JOIN query_no USING (query_id) JOIN product_no USING (product_id)
), latest_review AS (
    SELECT q, p, arg_max(verdict, "at") AS positive
    FROM reviews JOIN query_no USING (query_id) JOIN product_no USING (product_id)
    WHERE verdict IS NOT NULL
    GROUP BY q, p
), train_pairs AS (
    SELECT q, p FROM logged WHERE split = 'train'
    UNION
    SELECT q, p FROM latest_review JOIN product_no USING (p) JOIN products USING (product_id)
    WHERE split = 'train'
), reviewed AS (
    SELECT q, p, 'train' AS split, positive FROM latest_review SEMI JOIN train_pairs USING (q, p)
)
SELECT q, p, positive = 1 AS positive, 'review' AS source, split FROM reviewed
UNION ALL
SELECT q, p, positive, source, split FROM (
    SELECT q, p, split, source, rank, avg(positive) >= 0.5 AS positive,
           row_number() OVER (PARTITION BY q, p, split ORDER BY rank DESC) AS place
    FROM logged GROUP BY q, p, split, source, rank
) unreviewed ANTI JOIN reviewed USING (q, p, split) WHERE place = 1;

-- Scores are compared with a tolerance of 1e-6, as the join decides them. Semi-joins, since the
-- planner takes a join by sigma for a handful of rows, and then keeps the millions that it gives in
-- memory for whatever else is joined to them.
CREATE TEMP VIEW qp_corrections AS
SELECT c.* FROM qp_candidates c
SEMI JOIN filters g ON g.filter_id = c.filter_id AND g.current AND c.score >= g.sigma - 1e-6
WHERE NOT vetoed;

CREATE TEMP VIEW it_corrections AS
SELECT c.* FROM it_candidates c
SEMI JOIN filters g
       ON g.filter_id = c.filter_id AND g.current AND c.score >= g.image_title_sigma - 1e-6;

CREATE TEMP VIEW current_attributes AS
SELECT a.* FROM attributes a
JOIN meta g ON g.name = 'llm' AND a.generator = g.value
JOIN meta k ON k.name = 'llm_prompt_key' AND a.prompt_key = k.value
WHERE a.title_key NOT IN (SELECT title_key FROM attributes WHERE generator = 'given')
UNION ALL
SELECT * FROM attributes WHERE generator = 'given';

CREATE TEMP VIEW current_captions AS
SELECT c.* FROM captions c
JOIN meta g ON g.name = 'captioner' AND c.generator = g.value
JOIN meta k ON k.name = 'captioner_prompt_key' AND c.prompt_key = k.value
WHERE c.image_key NOT IN (SELECT image_key FROM captions WHERE generator = 'given')
UNION ALL
SELECT * FROM captions WHERE generator = 'given';

CREATE TEMP VIEW query_product_corrections AS
SELECT query_id, query, product_id, title, products.split,
       concat_ws('; ', 'core word: ' || a.core_word, 'material: ' || a.material, 'brand: ' || a.brand,
                 'color: ' || a.color, 'model parameters: ' || a.model_parameters) AS attributes,
       features.image_text AS caption, q_i, q_t, score, reasons, held_out_verdict
FROM qp_corrections c
JOIN product_no USING (f)
ANTI JOIN (FROM verdicts WHERE split = 'train') v ON v.q = c.q AND v.p = product_no.p
JOIN query_no ON query_no.q = c.q JOIN queries USING (query_id)
JOIN products USING (product_id)
JOIN features USING (f)
LEFT JOIN current_attributes a USING (title_key)
LEFT JOIN (SELECT q, p, arg_max(positive, split)::TINYINT AS held_out_verdict
           FROM verdicts WHERE split <> 'train' GROUP BY q, p) h
       ON h.q = c.q AND h.p = product_no.p;
