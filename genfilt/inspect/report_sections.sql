-- The counts of a report's sections; each statement is read by its name.

-- name: products
SELECT count(*), count(image_key), count(image_key) FILTER (caption <> '')
FROM products LEFT JOIN current_captions USING (image_key);

-- name: read_products
SELECT count(*) FROM products SEMI JOIN current_attributes USING (title_key);

-- name: pairs
SELECT (SELECT count(*) FROM query_keys), (SELECT count(*) FROM features SEMI JOIN product_no USING (f) WHERE title_text <> ''),
       (SELECT count(*) FROM qp_candidates JOIN filters USING (filter_id)
        SEMI JOIN product_no USING (f) WHERE current),
       (SELECT count(*) FROM qp_candidates JOIN filters USING (filter_id)
        SEMI JOIN product_no USING (f) WHERE current AND score >= sigma - 1e-6);

-- name: new_pairs
SELECT count(*) FROM qp_corrections c WHERE EXISTS (FROM product_no n
JOIN products USING (product_id) WHERE n.f = c.f AND split = 'train'
AND NOT EXISTS (FROM verdicts v WHERE v.q = c.q AND v.p = n.p));

-- name: queries
-- Relevant train products of each query: known by train verdicts, and new corrections, by id.
SELECT query_id, min(query) AS query, coalesce(sum(known), 0)::BIGINT AS before,
       coalesce(sum(found), 0)::BIGINT AS found
FROM queries LEFT JOIN (
    SELECT query_id, count(*) AS known, 0 AS found
    FROM (FROM verdicts WHERE positive AND split = 'train') v
    JOIN query_no USING (q) JOIN product_no USING (p)
    JOIN (FROM products WHERE split = 'train') t USING (product_id) GROUP BY query_id
    UNION ALL
    SELECT query_id, 0, count(*) FROM query_product_corrections
    WHERE split = 'train' AND held_out_verdict IS NULL GROUP BY query_id
) counted USING (query_id)
GROUP BY query_id ORDER BY found DESC, before, query_id;

-- name: captions
SELECT count(*), count(*) FILTER (caption = '') FROM current_captions;

-- name: failures
SELECT step, reason, count(*) AS number, min(item_key) AS example,
       arg_min(detail, item_key) AS detail
FROM failures GROUP BY ALL ORDER BY number DESC, step, reason;
