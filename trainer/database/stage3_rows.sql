-- A row for each train label, as its review corrects it.
SELECT DISTINCT q, p, known.positive
FROM labels JOIN query_no USING (query_id) JOIN product_no USING (product_id)
JOIN (FROM verdicts WHERE split = 'train') AS known USING (q, p)
WHERE labels.split = 'train' ORDER BY q, p
