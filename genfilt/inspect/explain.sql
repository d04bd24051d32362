-- What `genfilt explain` reads of one query and one product; each statement is read by its name.

-- name: query
-- By id, else by the key of the text; of equal queries the first id, and the spelling that is embedded.
SELECT query_id, spelling, q
FROM (SELECT query_id, query_key, q, min(query) OVER (PARTITION BY q) AS spelling
      FROM queries JOIN query_no USING (query_id)
      WHERE q IN (SELECT q FROM query_no JOIN queries USING (query_id)
                  WHERE query_id = $id OR query_key = $key))
WHERE query_id = $id OR query_key = $key ORDER BY query_id <> $id, query_id LIMIT 1;

-- name: product
-- By id, else by title; of equal titles a train product first.
SELECT product_id, title, split, p, f, title_text,
       coalesce(CASE WHEN f IS NULL THEN caption ELSE image_text END, '') AS caption,
       core_word, material, brand, color, model_parameters
FROM products JOIN product_no USING (product_id) LEFT JOIN features USING (f)
LEFT JOIN current_attributes USING (title_key) LEFT JOIN current_captions USING (image_key)
WHERE product_id = $id OR title_key = $key
ORDER BY product_id <> $id, split <> 'train', product_id LIMIT 1;

-- name: similar_products
-- Ids that a slip of the hand may have meant, nearest first.
SELECT product_id FROM products
WHERE abs(length(product_id) - length($id)) <= $slips AND levenshtein(product_id, $id) <= $slips
ORDER BY levenshtein(product_id, $id), product_id LIMIT 3;

-- name: similar_queries
SELECT query_id FROM queries
WHERE abs(length(query_id) - length($id)) <= $slips AND levenshtein(query_id, $id) <= $slips
ORDER BY levenshtein(query_id, $id), query_id LIMIT 3;

-- name: filter
SELECT filter_id, rule, sigma, floor, embedder FROM filters WHERE current;

-- name: stored
SELECT q_i, q_t, cosine, score, vetoed, reasons FROM qp_candidates
WHERE filter_id = $filter_id AND q = $q AND f = $f;

-- name: verdict
-- Of train alone: what val and test verdicts say is for audits.
SELECT source, positive FROM verdicts WHERE split = 'train' AND q = $q AND p = $p;

-- name: rank
SELECT count(*) FILTER (score > $score), count(*) FROM qp_candidates SEMI JOIN product_no USING (f)
WHERE filter_id = $filter_id AND q = $q AND f <> $f;

-- name: vectors
SELECT text_key, vector FROM vectors
WHERE embedder = $embedder AND text_key IN (SELECT unnest($keys::VARCHAR[]));

-- name: kinds
-- Whether there are products with a caption, and products with a title alone.
SELECT coalesce(bool_or(image_text <> ''), false), coalesce(bool_or(coalesce(image_text, '') = ''), false)
FROM features WHERE title_text <> '';
