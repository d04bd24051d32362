-- The newest draw of the current filter and of one selection in which a pair has no answer. `meta`
-- names the selection of a draw that was not made from all corrections.
SELECT max(draw)
FROM samples
SEMI JOIN (FROM filters WHERE current) USING (filter_id)
SEMI JOIN queries USING (query_id)
SEMI JOIN products USING (product_id)
ANTI JOIN (FROM reviews WHERE verdict IS NOT NULL) answered USING (query_id, product_id)
LEFT JOIN meta ON name = 'selection of draw ' || draw
WHERE coalesce(meta.value, '{}') = $selection
