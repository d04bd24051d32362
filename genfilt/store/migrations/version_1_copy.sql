-- Under the rule paper one sigma served both kinds of pairs. Under the calibrated rule version 1 stored
-- image-title pairs from the greater of 0.9, the paper's sigma, and the floor.
INSERT INTO filters BY NAME
SELECT * EXCLUDE calibration,
       CASE WHEN calibration IS NULL THEN sigma ELSE greatest(0.9, floor) END AS image_title_sigma
FROM filters_1;

-- Calibrated fits of version 1 are dropped; a calibrated filter without a row here has to be fitted again.
INSERT INTO filter_fits BY NAME
SELECT filter_id, created_at FROM filters_1 WHERE calibration IS NULL;

INSERT INTO reviews BY NAME FROM reviews_1;
DROP TABLE filters_1;
DROP TABLE reviews_1;
UPDATE meta SET value = '2' WHERE name = 'schema_version';
INSERT OR REPLACE INTO meta VALUES ('migrated_from', '1');
