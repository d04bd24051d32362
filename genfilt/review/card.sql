-- One pair with all that a reviewer needs to judge it.
SELECT query_no.q, query, title, coalesce(category, '') AS category,
       image_key IS NOT NULL AS has_picture,
       a.core_word, a.brand, a.color, a.material, a.model_parameters,
       features.image_text AS caption, c.q_i, c.q_t, c.score, coalesce(c.reasons, '') AS reasons
FROM queries
JOIN query_no USING (query_id), products
JOIN product_no USING (product_id)
LEFT JOIN features USING (f)
LEFT JOIN current_attributes a USING (title_key)
LEFT JOIN qp_candidates c ON c.q = query_no.q AND c.f = product_no.f
      AND c.filter_id = (SELECT filter_id FROM filters WHERE current)
WHERE query_id = $query_id AND product_id = $product_id
