-- Tables that changed between version 1 and version 2 make room for their successors.
DROP VIEW IF EXISTS positives;
DROP VIEW IF EXISTS image_title_corrections;
DROP VIEW IF EXISTS query_product_corrections;
DROP VIEW IF EXISTS current_captions;
DROP VIEW IF EXISTS current_attributes;
DROP VIEW IF EXISTS it_corrections;
DROP VIEW IF EXISTS qp_corrections;
DROP VIEW IF EXISTS verdicts;
ALTER TABLE filters RENAME TO filters_1;
ALTER TABLE reviews RENAME TO reviews_1;
