-- A row for each train click that no review or label contradicts.
SELECT DISTINCT q, p, known.positive
FROM clicks JOIN query_no USING (query_id) JOIN product_no USING (product_id)
JOIN (FROM verdicts WHERE split = 'train') AS known USING (q, p)
WHERE clicks.split = 'train' AND known.positive ORDER BY q, p
