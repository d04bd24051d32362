-- Inputs of the calibrated rule; each statement is read by its name.

-- name: products
-- The texts of each distinct product that has a title; caption is '' without a described picture.
SELECT features.f, min(written) AS title, coalesce(min(image_text), '') AS caption,
       min(core_word) AS core_word, min(material) AS material, min(brand) AS brand,
       min(color) AS color, min(model_parameters) AS model_parameters
FROM features LEFT JOIN product_no USING (f) LEFT JOIN products USING (product_id)
LEFT JOIN current_attributes USING (title_key)
WHERE features.title_text <> ''
GROUP BY features.f ORDER BY features.f;

-- name: train_log
-- Equal contents are one pair; a review overrides labels, labels are settled by majority.
WITH logged AS (
    SELECT q, f, clicks, NULL AS label FROM clicks
    JOIN query_no USING (query_id) JOIN product_no USING (product_id) WHERE split = 'train'
    UNION ALL
    SELECT q, f, 0, label FROM labels
    JOIN query_no USING (query_id) JOIN product_no USING (product_id) WHERE split = 'train'
), reviewed AS (
    SELECT q, f, avg(positive::INTEGER) AS label FROM verdicts
    JOIN (SELECT DISTINCT p, f FROM product_no) USING (p)
    WHERE source = 'review' AND split = 'train' GROUP BY q, f
)
SELECT q, f, coalesce(sum(clicks), 0)::BIGINT AS clicks,
       coalesce(any_value(r.label), avg(logged.label)) AS label
FROM logged FULL JOIN reviewed r USING (q, f) WHERE f IS NOT NULL GROUP BY q, f ORDER BY q, f;

-- name: train_features
SELECT DISTINCT f FROM product_no JOIN products USING (product_id)
WHERE split = 'train' AND f IS NOT NULL ORDER BY f;

-- name: categories
SELECT f, min(category) AS category FROM product_no JOIN products USING (product_id)
WHERE f IS NOT NULL AND category IS NOT NULL GROUP BY f;

-- name: query_attributes
-- Of the queries in the table wanted_queries, registered by the caller.
SELECT q, any_value(core_word), any_value(material), any_value(brand), any_value(color),
       any_value(model_parameters)
FROM query_keys SEMI JOIN wanted_queries USING (q)
JOIN current_attributes ON title_key = query_key GROUP BY q;

-- name: data_hash
-- Of the table train_log, registered by the caller, and of the train products.
SELECT bit_xor(hash(q, f, clicks, label)) FROM train_log
UNION ALL
SELECT bit_xor(hash(title_key, image_key)) FROM products WHERE split = 'train';

-- name: reader_state
SELECT state FROM generator_states JOIN meta ON name = 'llm' AND generator = value
WHERE starts_with(generator, 'lexicon-');
