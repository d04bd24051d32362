-- Train products that train clicks or labels call relevant to the query number $q, the most clicked
-- first. The number is a constant, so that the view is computed for one query alone.
SELECT min(product_id) AS product_id, any_value(title) AS title,
       bool_or(image_key IS NOT NULL) AS has_picture, v.source, sum(coalesce(clicks, 0)) AS clicks
FROM (FROM verdicts WHERE split = 'train' AND positive AND source <> 'review' AND q = $q) v
JOIN product_no USING (p)
JOIN (FROM products WHERE split = 'train') products USING (product_id)
LEFT JOIN (SELECT product_id, sum(clicks) AS clicks
           FROM clicks JOIN query_no USING (query_id)
           WHERE split = 'train' AND q = $q GROUP BY product_id) c USING (product_id)
GROUP BY v.p, v.source
ORDER BY clicks DESC, product_id
LIMIT 6
