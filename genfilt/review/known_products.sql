-- Train products that train clicks or labels call relevant to a query, the most clicked first.
SELECT min(product_id) AS product_id, any_value(title) AS title,
       any_value(image) IS NOT NULL AS has_picture, v.source, sum(coalesce(clicks, 0)) AS clicks
FROM (FROM verdicts WHERE split = 'train' AND positive AND source <> 'review'
      AND q = (SELECT q FROM query_no WHERE query_id = $query_id)) v
JOIN product_no USING (p)
JOIN (FROM products WHERE split = 'train') products USING (product_id)
LEFT JOIN (FROM clicks WHERE split = 'train' AND query_id = $query_id) c USING (product_id)
GROUP BY v.p, v.source
ORDER BY clicks DESC, product_id
LIMIT 6
