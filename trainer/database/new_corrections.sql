-- The new corrections, as pairs of ids: (query, product) of train products without a verdict in any
-- split; (image, title) of different train products without equal titles or pictures.
SELECT (SELECT count(*)
        FROM qp_corrections c JOIN query_no USING (q) JOIN product_no USING (f)
        JOIN products USING (product_id)
        ANTI JOIN verdicts v ON v.q = c.q AND v.p = product_no.p
        WHERE products.split = 'train') AS query_product,
       (SELECT count(*)
        FROM it_corrections c
        JOIN features fi ON fi.f_image = c.f_image JOIN product_no ni ON ni.f = fi.f
        JOIN products i ON i.product_id = ni.product_id
        JOIN features ft ON ft.f_title = c.f_title JOIN product_no nt ON nt.f = ft.f
        JOIN products t ON t.product_id = nt.product_id
        WHERE i.split = 'train' AND t.split = 'train'
          -- Inside coalesce, since the planner would join all products with all others by a bare
          -- inequality.
          AND coalesce(i.product_id <> t.product_id AND i.title_key <> t.title_key
                       AND i.image_key IS DISTINCT FROM t.image_key, false)) AS image_title
