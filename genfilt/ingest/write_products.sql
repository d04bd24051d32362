-- Clicks and labels that had their product's split move with it, so that none of a val product
-- stays train.
UPDATE clicks SET split = a.split
FROM arrived a JOIN products o USING (product_id)
WHERE clicks.product_id = a.product_id AND clicks.split = o.split AND a.split <> o.split;

UPDATE labels SET split = a.split
FROM arrived a JOIN products o USING (product_id)
WHERE labels.product_id = a.product_id AND labels.split = o.split AND a.split <> o.split;

-- What failed is looked for again: the product's picture, and rows that named an unknown product.
DELETE FROM failures WHERE step = 'ingest' AND item_key IN (
    SELECT product_id FROM arrived UNION ALL SELECT 'product ' || product_id FROM arrived
);
