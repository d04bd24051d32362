-- One row for every query number q up to the largest; gaps hold NULL.
SELECT any_value(query) AS query
FROM range((SELECT coalesce(max(q), -1) + 1 FROM query_no)) numbers(n)
LEFT JOIN query_no ON q = n LEFT JOIN queries USING (query_id)
GROUP BY n ORDER BY n
