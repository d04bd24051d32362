-- The views over the tables. genfilt defines them in its own connection as temporary views and never runs
-- those of a file; the copies in the file serve other DuckDB clients. trainer/database/views.sql repeats
-- the four that the trainer reads.

-- A review overrides a label, a label a click. A review counts in the train split alone. Labels of
-- equal content are settled by majority, a tie is positive.
CREATE VIEW verdicts AS
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
COMMENT ON VIEW verdicts IS 'Known relevance of pairs, one row for each pair and split: review over label over click';
COMMENT ON COLUMN verdicts.q IS 'Number of the query';
COMMENT ON COLUMN verdicts.p IS 'Number of the product';
COMMENT ON COLUMN verdicts.positive IS 'Whether the pair is relevant';
COMMENT ON COLUMN verdicts.source IS 'review, label or click';
COMMENT ON COLUMN verdicts.split IS 'Split in which the verdict counts: train, val or test';

-- Scores are compared with a tolerance of 1e-6, as the join decides them. Semi-joins, since the
-- planner takes a join by sigma for a handful of rows, and then keeps the millions that it gives in
-- memory for whatever else is joined to them.
CREATE VIEW qp_corrections AS
SELECT c.* FROM qp_candidates c
SEMI JOIN filters g ON g.filter_id = c.filter_id AND g.current AND c.score >= g.sigma - 1e-6
WHERE NOT vetoed;
COMMENT ON VIEW qp_corrections IS 'Candidates of the current filter that reach sigma and are not vetoed, by number';
COMMENT ON COLUMN qp_corrections.filter_id IS 'Current filter';
COMMENT ON COLUMN qp_corrections.q IS 'Number of the query';
COMMENT ON COLUMN qp_corrections.f IS 'Number of the feature texts';
COMMENT ON COLUMN qp_corrections.q_i IS 'Cosine of query and picture text; NULL without a caption';
COMMENT ON COLUMN qp_corrections.q_t IS 'Cosine of query and title text';
COMMENT ON COLUMN qp_corrections.cosine IS 'Mean of q_i and q_t, or q_t without a caption';
COMMENT ON COLUMN qp_corrections.score IS 'Score of the rule';
COMMENT ON COLUMN qp_corrections.vetoed IS 'Always false';
COMMENT ON COLUMN qp_corrections.reasons IS 'What speaks for the pair and against it';

CREATE VIEW it_corrections AS
SELECT c.* FROM it_candidates c
SEMI JOIN filters g
       ON g.filter_id = c.filter_id AND g.current AND c.score >= g.image_title_sigma - 1e-6;
COMMENT ON VIEW it_corrections IS 'Image-title candidates of the current filter that reach its image-title sigma, by number';
COMMENT ON COLUMN it_corrections.filter_id IS 'Current filter';
COMMENT ON COLUMN it_corrections.f_image IS 'Number of the picture text';
COMMENT ON COLUMN it_corrections.f_title IS 'Number of the title text';
COMMENT ON COLUMN it_corrections.i_t IS 'Cosine of picture text and title text';
COMMENT ON COLUMN it_corrections.score IS 'The cosine';

CREATE VIEW current_attributes AS
SELECT a.* FROM attributes a
JOIN meta g ON g.name = 'llm' AND a.generator = g.value
JOIN meta k ON k.name = 'llm_prompt_key' AND a.prompt_key = k.value
WHERE a.title_key NOT IN (SELECT title_key FROM attributes WHERE generator = 'given')
UNION ALL
SELECT * FROM attributes WHERE generator = 'given';
COMMENT ON VIEW current_attributes IS 'Attributes that were given, else those by the generator that was used last';
COMMENT ON COLUMN current_attributes.title_key IS 'Hash of the title, or of the query, that was read';
COMMENT ON COLUMN current_attributes.prompt_key IS 'Hash of the prompt and settings';
COMMENT ON COLUMN current_attributes.generator IS 'Name and version of the reader';
COMMENT ON COLUMN current_attributes.core_word IS 'Kind of product';
COMMENT ON COLUMN current_attributes.material IS 'Materials, separated by comma and blank';
COMMENT ON COLUMN current_attributes.brand IS 'Brand';
COMMENT ON COLUMN current_attributes.color IS 'Colours, separated by comma and blank';
COMMENT ON COLUMN current_attributes.model_parameters IS 'Sizes, quantities and model numbers, separated by comma and blank';
COMMENT ON COLUMN current_attributes.raw IS 'Whole reply of the generator';
COMMENT ON COLUMN current_attributes.created_at IS 'Time of writing, UTC';

CREATE VIEW current_captions AS
SELECT c.* FROM captions c
JOIN meta g ON g.name = 'captioner' AND c.generator = g.value
JOIN meta k ON k.name = 'captioner_prompt_key' AND c.prompt_key = k.value
WHERE c.image_key NOT IN (SELECT image_key FROM captions WHERE generator = 'given')
UNION ALL
SELECT * FROM captions WHERE generator = 'given';
COMMENT ON VIEW current_captions IS 'Captions that were given, else those by the generator that was used last';
COMMENT ON COLUMN current_captions.image_key IS 'Hash of the picture file';
COMMENT ON COLUMN current_captions.prompt_key IS 'Hash of the prompt and settings';
COMMENT ON COLUMN current_captions.generator IS 'Name and version of the captioner';
COMMENT ON COLUMN current_captions.caption IS 'Caption; empty when the captioner abstained';
COMMENT ON COLUMN current_captions.raw IS 'Whole reply of the generator';
COMMENT ON COLUMN current_captions.created_at IS 'Time of writing, UTC';

CREATE VIEW query_product_corrections AS
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
COMMENT ON VIEW query_product_corrections IS 'Found query-product pairs by id; pairs with a verdict of the train split are left out. New pairs: split = train and held_out_verdict IS NULL';
COMMENT ON COLUMN query_product_corrections.query_id IS 'Id of the query';
COMMENT ON COLUMN query_product_corrections.query IS 'Query';
COMMENT ON COLUMN query_product_corrections.product_id IS 'Id of the product';
COMMENT ON COLUMN query_product_corrections.title IS 'Title of the product';
COMMENT ON COLUMN query_product_corrections.split IS 'Split of the product; training uses train alone';
COMMENT ON COLUMN query_product_corrections.attributes IS 'Attributes read from the title';
COMMENT ON COLUMN query_product_corrections.caption IS 'Caption of the picture';
COMMENT ON COLUMN query_product_corrections.q_i IS 'Cosine of query and picture text; NULL without a caption';
COMMENT ON COLUMN query_product_corrections.q_t IS 'Cosine of query and title text';
COMMENT ON COLUMN query_product_corrections.score IS 'Score of the rule, at least sigma';
COMMENT ON COLUMN query_product_corrections.reasons IS 'What speaks for the pair and against it';
COMMENT ON COLUMN query_product_corrections.held_out_verdict IS 'Relevance of the pair by a val verdict, else by a test verdict: 1, 0 or NULL when there is none; for audits, never for decisions';

CREATE VIEW image_title_corrections AS
SELECT ip.product_id AS image_product_id, fi.image_text AS caption,
       tp.product_id AS title_product_id, tp.title, i_t
FROM it_corrections c
JOIN features fi ON fi.f_image = c.f_image JOIN product_no inumber ON inumber.f = fi.f
JOIN products ip ON ip.product_id = inumber.product_id
JOIN features ft ON ft.f_title = c.f_title JOIN product_no tnumber ON tnumber.f = ft.f
JOIN products tp ON tp.product_id = tnumber.product_id
-- Inside coalesce, since the planner would join all products with all others by a bare inequality.
WHERE coalesce(ip.product_id <> tp.product_id AND ip.title_key <> tp.title_key
               AND ip.image_key IS DISTINCT FROM tp.image_key, false);
COMMENT ON VIEW image_title_corrections IS 'Found pairs of one product''s picture and another product''s title, by id';
COMMENT ON COLUMN image_title_corrections.image_product_id IS 'Product of the picture';
COMMENT ON COLUMN image_title_corrections.caption IS 'Caption of the picture';
COMMENT ON COLUMN image_title_corrections.title_product_id IS 'Product of the title';
COMMENT ON COLUMN image_title_corrections.title IS 'Title';
COMMENT ON COLUMN image_title_corrections.i_t IS 'Cosine of picture text and title text';

CREATE VIEW positives AS
SELECT query_id, product_id, source, split
FROM verdicts JOIN query_no USING (q) JOIN product_no USING (p)
WHERE positive
UNION ALL
SELECT query_id, product_id, 'genfilt', split FROM query_product_corrections;
COMMENT ON VIEW positives IS 'All relevant pairs by id: positive verdicts and corrections';
COMMENT ON COLUMN positives.query_id IS 'Id of the query';
COMMENT ON COLUMN positives.product_id IS 'Id of the product';
COMMENT ON COLUMN positives.source IS 'review, label, click or genfilt';
COMMENT ON COLUMN positives.split IS 'Split of the verdict, or of the product of a correction';
