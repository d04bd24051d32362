-- A row for each train product.
SELECT DISTINCT -1 AS q, p, true AS positive
FROM products JOIN product_no USING (product_id)
WHERE split = 'train' ORDER BY p
