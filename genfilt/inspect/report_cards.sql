-- The corrections that a report shows, of train products alone; each statement is read by its name.

-- name: corrections
-- All of them up to $cards; of more as many from each fifth of the scores, each query once while
-- there are enough of them. Where there are very many only each $part-th is looked at. Chosen by
-- their ids, and described afterwards: texts and reasons of millions would fill the memory.
WITH chosen AS MATERIALIZED (
    SELECT query_id, query, product_id
    FROM (SELECT *, row_number() OVER (PARTITION BY fifth ORDER BY turn, lot) AS place
          FROM (SELECT query_id, query, product_id, score,
                       ntile(5) OVER (ORDER BY score DESC) AS fifth,
                       row_number() OVER (PARTITION BY query ORDER BY hash(product_id)) AS turn,
                       hash(query_id, product_id) AS lot
                FROM query_product_corrections
                WHERE split = 'train' AND hash(query_id, product_id) % $part = 0))
    WHERE place <= $each ORDER BY score DESC, query_id, product_id LIMIT $cards
)
SELECT query_id, query, product_id, title, category, image_text AS caption, image,
       core_word, brand, color, material, model_parameters, q_i, q_t, c.score, reasons
FROM chosen
JOIN query_no USING (query_id)
JOIN product_no USING (product_id)
JOIN qp_corrections c USING (q, f)
JOIN features USING (f)
JOIN products USING (product_id)
LEFT JOIN current_attributes USING (title_key)
ORDER BY score DESC, query_id, product_id;

-- name: known
-- The most clicked train products that train verdicts call relevant to the queries of the
-- registered table `shown`.
SELECT query_id, list(title ORDER BY clicks DESC, title)[1:2] AS titles
FROM (SELECT s.query_id, title, sum(coalesce(clicks, 0)) AS clicks
      FROM (SELECT DISTINCT query_id FROM shown) s
      JOIN query_no n USING (query_id)
      JOIN verdicts v ON v.q = n.q AND v.positive AND v.split = 'train'
      JOIN product_no m ON m.p = v.p
      JOIN products g ON g.product_id = m.product_id AND g.split = 'train'
      LEFT JOIN clicks c ON c.query_id = s.query_id AND c.product_id = m.product_id
                        AND c.split = 'train'
      GROUP BY s.query_id, title)
GROUP BY query_id;

-- name: titles
WITH train AS (SELECT f, product_id FROM product_no JOIN products USING (product_id)
               WHERE split = 'train')
SELECT pictured.image, image_text AS caption, pictured.title AS own_title, titled.title, i_t
FROM (FROM it_corrections ORDER BY hash(f_image, f_title) LIMIT $some) c
JOIN (SELECT f_image, image_text, min(product_id) AS product_id
      FROM features JOIN train USING (f) GROUP BY ALL) i USING (f_image)
JOIN (SELECT f_title, max(product_id) AS product_id
      FROM features JOIN train USING (f) GROUP BY ALL) t USING (f_title)
JOIN products pictured ON pictured.product_id = i.product_id
JOIN products titled ON titled.product_id = t.product_id
WHERE coalesce(i.product_id <> t.product_id, false)
ORDER BY hash(f_image, f_title) LIMIT $cards;
