-- Numbers q, p and f: given, placed and forgotten. meta keeps the last number of each kind, since one that
-- is forgotten must not be given again: candidates, exports and checkpoints may still refer to it.

-- name: number_products
INSERT INTO product_keys
SELECT title_key, image_key, $last + row_number() OVER (ORDER BY first)
FROM (SELECT title_key, coalesce(image_key, '') AS image_key, min(product_id) AS first
      FROM products GROUP BY ALL)
ANTI JOIN product_keys USING (title_key, image_key);

-- name: place_products
-- Equal contents share their f, which the next filter determines anew.
INSERT OR REPLACE INTO product_no
SELECT product_id, k.p, known.f
FROM products
JOIN product_keys k ON k.title_key = products.title_key
                   AND k.image_key = coalesce(products.image_key, '')
LEFT JOIN (SELECT p, max(f) AS f FROM product_no GROUP BY p) known ON known.p = k.p
ANTI JOIN product_no same ON same.product_id = products.product_id AND same.p = k.p;

-- name: remember_spellings
-- Of the spellings that share a key the first in order is embedded.
CREATE OR REPLACE TEMP TABLE spelling_before AS
SELECT query_key, min(query) AS query FROM queries GROUP BY query_key;

-- name: forget_changed_spellings
-- Where another spelling takes the first place the key gets a new number, since what was joined under
-- the old one belongs to another text.
DELETE FROM query_keys WHERE query_key IN (
    SELECT query_key FROM spelling_before
    LEFT JOIN (SELECT query_key, min(query) AS query FROM queries GROUP BY query_key) spelling_now
        USING (query_key)
    WHERE spelling_now.query IS DISTINCT FROM spelling_before.query
);

-- name: number_queries
INSERT INTO query_keys
SELECT query_key, $last + row_number() OVER (ORDER BY first)
FROM (SELECT query_key, min(query_id) AS first FROM queries GROUP BY ALL)
ANTI JOIN query_keys USING (query_key);

-- name: place_queries
INSERT OR REPLACE INTO query_no
SELECT query_id, k.q FROM queries JOIN query_keys k USING (query_key)
ANTI JOIN query_no same ON same.query_id = queries.query_id AND same.q = k.q;

-- name: number_features
INSERT INTO features
SELECT n.f, coalesce(titles.f, min(n.f) OVER (PARTITION BY n.title_text)),
       CASE WHEN n.image_text IS NOT NULL
            THEN coalesce(images.f, min(n.f) OVER (PARTITION BY n.image_text)) END,
       n.title_text, n.image_text, n.written
FROM (
    SELECT title_text, image_text, written, $last + row_number() OVER (ORDER BY min(p)) AS f
    FROM described ANTI JOIN features known
         ON known.written = described.written AND known.title_text = described.title_text
        AND known.image_text IS NOT DISTINCT FROM described.image_text
    GROUP BY title_text, image_text, written
) n
LEFT JOIN (SELECT title_text, min(f_title) AS f FROM features GROUP BY 1) titles
       ON titles.title_text = n.title_text
LEFT JOIN (SELECT image_text, min(f_image) AS f FROM features GROUP BY 1) images
       ON images.image_text = n.image_text;

-- name: place_features
UPDATE product_no SET f = found.f
FROM (SELECT p, features.f FROM described JOIN features
      ON features.written = described.written AND features.title_text = described.title_text
     AND features.image_text IS NOT DISTINCT FROM described.image_text) found
WHERE product_no.p = found.p AND product_no.f IS DISTINCT FROM found.f;

-- name: forget_features
DELETE FROM features WHERE f NOT IN (SELECT f FROM product_no WHERE f IS NOT NULL)
AND f NOT IN (SELECT f_title FROM features JOIN product_no USING (f))
AND f NOT IN (SELECT f_image FROM features JOIN product_no USING (f) WHERE f_image IS NOT NULL);

-- name: forget_queries
DELETE FROM query_keys WHERE q NOT IN (SELECT q FROM query_no);

-- name: forget_query_candidates
DELETE FROM qp_candidates WHERE q NOT IN (SELECT q FROM query_keys)
OR f NOT IN (SELECT f FROM features);

-- name: forget_title_candidates
DELETE FROM it_candidates WHERE f_title NOT IN (SELECT f_title FROM features)
OR f_image NOT IN (SELECT f_image FROM features WHERE f_image IS NOT NULL);

-- name: last_p
SELECT greatest((SELECT max(p) FROM product_keys), (SELECT max(p) FROM product_no));

-- name: last_q
SELECT greatest((SELECT max(q) FROM query_keys), (SELECT max(q) FROM query_no),
                (SELECT max(joined_q) FROM filters));

-- name: last_f
SELECT greatest((SELECT max(f) FROM features), (SELECT max(f) FROM product_no),
                (SELECT max(joined_f) FROM filters));
