-- One row for every product number p up to the largest, so that position is number; gaps hold
-- NULLs. Equal title_number or image_number: equal content.
WITH one AS (
    SELECT p, min(product_id) AS product_id, arg_min(title, product_id) AS title,
           arg_min(image, product_id) AS image, any_value(title_key) AS title_key,
           any_value(image_key) AS image_key, any_value(f) AS f
    FROM products JOIN product_no USING (product_id) GROUP BY p
)
SELECT product_id, title, CASE WHEN image_key IS NOT NULL THEN image END AS image,
       coalesce(dense_rank() OVER (ORDER BY title_key), 0)::INTEGER AS title_number,
       (CASE WHEN image_key IS NULL THEN -2 - n
             ELSE dense_rank() OVER (ORDER BY image_key NULLS FIRST) END)::INTEGER AS image_number,
       coalesce(f, -1) AS f, coalesce(f_title, -1) AS f_title, coalesce(f_image, -1) AS f_image
FROM range((SELECT coalesce(max(p), -1) + 1 FROM product_no)) numbers(n)
LEFT JOIN one ON p = n LEFT JOIN features USING (f)
ORDER BY n
