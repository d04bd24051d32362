-- The pairs of a draw in the order in which a reviewer sees them, with their answers so far.
SELECT s.query_id, s.product_id, queries.query, products.title, coalesce(category, '') AS category,
       s.score, coalesce(c.reasons, '') AS reasons, s.probability,
       c.q IS NOT NULL AS correction, own.verdict AS mine, coalesce(other.answers, 0) AS others
FROM samples s
JOIN queries USING (query_id)
JOIN products USING (product_id)
JOIN query_no USING (query_id)
JOIN product_no USING (product_id)
LEFT JOIN qp_corrections c ON c.q = query_no.q AND c.f = product_no.f
LEFT JOIN (SELECT query_id, product_id, verdict FROM reviews
           WHERE reviewer = $reviewer AND verdict IS NOT NULL) own
       ON own.query_id = s.query_id AND own.product_id = s.product_id
LEFT JOIN (SELECT query_id, product_id, count(*) AS answers FROM reviews
           WHERE reviewer <> $reviewer AND verdict IS NOT NULL GROUP BY ALL) other
       ON other.query_id = s.query_id AND other.product_id = s.product_id
WHERE s.draw = $draw
-- What nobody answered comes before what only others answered. The order within is independent of
-- the score, so that the first half of the queue is a fair sample too.
ORDER BY other.answers IS NOT NULL AND own.verdict IS NULL, hash(s.query_id, s.product_id, s.draw)
