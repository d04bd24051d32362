-- What the generated catalogue is in truth. Nothing but the audit reads it.
CREATE TABLE facets (
    product_id      VARCHAR PRIMARY KEY,
    style           INTEGER NOT NULL,
    split           VARCHAR NOT NULL,
    type            VARCHAR NOT NULL,
    category        VARCHAR NOT NULL,
    color           VARCHAR NOT NULL,
    color_family    VARCHAR NOT NULL,
    material        VARCHAR NOT NULL,
    brand           VARCHAR NOT NULL,
    pattern         VARCHAR NOT NULL,
    gender          VARCHAR,
    model           VARCHAR,
    stated            VARCHAR[] NOT NULL,
    picture_type    VARCHAR NOT NULL,
    picture_color   VARCHAR NOT NULL,
    picture_pattern VARCHAR NOT NULL,
    picture_gender  VARCHAR,
    near_duplicate  BOOLEAN NOT NULL,
    stuffed         BOOLEAN NOT NULL,
    misleading      BOOLEAN NOT NULL,
    falsified       BOOLEAN NOT NULL,
    wrong_picture   BOOLEAN NOT NULL,
    held_out        BOOLEAN NOT NULL
);

CREATE TABLE needs (
    query_id   VARCHAR PRIMARY KEY,
    need       INTEGER NOT NULL,
    type       VARCHAR,
    color      VARCHAR,
    material   VARCHAR,
    brand      VARCHAR,
    pattern    VARCHAR,
    gender     VARCHAR,
    model      VARCHAR,
    brand_only BOOLEAN NOT NULL,
    held_out   BOOLEAN NOT NULL
);

-- A product is relevant to a query when it has every facet that the query names. The two halves exist so that each is an
-- equality join, on the type and on the brand.
CREATE VIEW relevant AS
SELECT n.query_id, f.product_id
FROM needs n JOIN facets f ON f.type = n.type
WHERE (n.color IS NULL OR n.color = f.color OR n.color = f.color_family)
  AND (n.material IS NULL OR n.material = f.material)
  AND (n.brand IS NULL OR n.brand = f.brand)
  AND (n.pattern IS NULL OR n.pattern = f.pattern)
  AND (n.gender IS NULL OR n.gender = f.gender)
  AND (n.model IS NULL OR n.model = f.model)
UNION ALL
SELECT n.query_id, f.product_id
FROM needs n JOIN facets f ON f.brand = n.brand
WHERE n.brand_only;
