-- The contract between genfilt, which writes these tables, and trainer, which reads them.
-- Keys are blake2b-128 of content in hexadecimal; ids are what the user's data calls a thing.

CREATE TABLE meta (name VARCHAR PRIMARY KEY, value VARCHAR NOT NULL);

CREATE TABLE products (
    product_id VARCHAR PRIMARY KEY,
    title      VARCHAR NOT NULL,
    image      VARCHAR,            -- absolute path once found, else as the source wrote it
    category   VARCHAR,            -- groups reports, never a feature
    split      VARCHAR NOT NULL CHECK (split IN ('train', 'val', 'test')),
    title_key  VARCHAR NOT NULL,
    image_key  VARCHAR             -- NULL where there is no readable picture file
);

CREATE TABLE queries (
    query_id  VARCHAR PRIMARY KEY,
    query     VARCHAR NOT NULL,
    query_key VARCHAR NOT NULL
);

CREATE TABLE clicks (
    query_id   VARCHAR NOT NULL,
    product_id VARCHAR NOT NULL,
    clicks     BIGINT NOT NULL CHECK (clicks > 0),
    split      VARCHAR NOT NULL CHECK (split IN ('train', 'val', 'test')),
    PRIMARY KEY (query_id, product_id)
);

CREATE TABLE labels (
    query_id   VARCHAR NOT NULL,
    product_id VARCHAR NOT NULL,
    label      TINYINT NOT NULL CHECK (label IN (0, 1)),
    grade      VARCHAR,            -- the source's own word
    split      VARCHAR NOT NULL CHECK (split IN ('train', 'val', 'test')),
    PRIMARY KEY (query_id, product_id)
);

CREATE TABLE reviews (
    query_id   VARCHAR NOT NULL,
    product_id VARCHAR NOT NULL,
    verdict    TINYINT NOT NULL CHECK (verdict IN (0, 1)),
    reviewer   VARCHAR NOT NULL DEFAULT '',
    note       VARCHAR,
    "at"       TIMESTAMP NOT NULL,
    PRIMARY KEY (query_id, product_id, reviewer)
);

CREATE TABLE attributes (
    title_key        VARCHAR NOT NULL,
    prompt_key       VARCHAR NOT NULL,
    generator        VARCHAR NOT NULL,
    core_word        VARCHAR,
    material         VARCHAR,
    brand            VARCHAR,
    color            VARCHAR,
    model_parameters VARCHAR,
    raw              VARCHAR NOT NULL,
    created_at       TIMESTAMP NOT NULL,
    PRIMARY KEY (title_key, prompt_key, generator)
);

CREATE TABLE captions (
    image_key  VARCHAR NOT NULL,
    prompt_key VARCHAR NOT NULL,
    generator  VARCHAR NOT NULL,
    caption    VARCHAR NOT NULL,
    raw        VARCHAR NOT NULL,
    created_at TIMESTAMP NOT NULL,
    PRIMARY KEY (image_key, prompt_key, generator)
);

CREATE TABLE failures (
    step      VARCHAR NOT NULL,
    item_key  VARCHAR NOT NULL,
    generator VARCHAR NOT NULL DEFAULT '',
    reason    VARCHAR NOT NULL,
    detail    VARCHAR,
    attempts  INTEGER NOT NULL DEFAULT 1,
    last_at   TIMESTAMP NOT NULL,
    PRIMARY KEY (step, item_key, generator)
);

-- What a generator learnt from the catalogue; the hash of the state is part of the generator's name.
CREATE TABLE generator_states (
    generator  VARCHAR PRIMARY KEY,
    state      BLOB NOT NULL,
    products   BIGINT NOT NULL,    -- the catalogue's size when it was fitted
    created_at TIMESTAMP NOT NULL
);

CREATE TABLE vectors (
    embedder VARCHAR NOT NULL,
    text_key VARCHAR NOT NULL,
    vector   FLOAT[] NOT NULL
);

CREATE TABLE filters (
    filter_id   INTEGER PRIMARY KEY,
    rule        VARCHAR NOT NULL,
    sigma       DOUBLE NOT NULL,
    floor       DOUBLE NOT NULL,
    embedder    VARCHAR NOT NULL,
    llm         VARCHAR NOT NULL,
    captioner   VARCHAR NOT NULL,
    template    VARCHAR NOT NULL,  -- version of the feature texts
    calibration VARCHAR,           -- the fit as JSON, where the rule has one
    created_at  TIMESTAMP NOT NULL,
    current     BOOLEAN NOT NULL,
    joined_q    INTEGER NOT NULL,  -- the largest q and f that were joined: a later filter with
    joined_f    INTEGER NOT NULL   -- the same settings joins only what came after
);

CREATE TABLE runs (
    run_id   INTEGER PRIMARY KEY,
    command  VARCHAR NOT NULL,
    config   VARCHAR NOT NULL,
    versions VARCHAR NOT NULL,
    started  TIMESTAMP NOT NULL,
    finished TIMESTAMP,
    status   VARCHAR NOT NULL,
    counts   VARCHAR
);

-- Corrections drawn for review, with the probability that the draw gave each.
CREATE TABLE samples (
    draw        INTEGER NOT NULL,
    filter_id   INTEGER NOT NULL,
    query_id    VARCHAR NOT NULL,
    product_id  VARCHAR NOT NULL,
    score       DOUBLE NOT NULL,
    probability DOUBLE NOT NULL CHECK (probability > 0 AND probability <= 1),
    drawn_at    TIMESTAMP NOT NULL,
    PRIMARY KEY (draw, query_id, product_id)
);

-- Numbers are given once and never again, so candidates stay valid while the catalogue grows.
CREATE TABLE query_no   (query_id VARCHAR PRIMARY KEY, q INTEGER NOT NULL);
CREATE TABLE product_no (product_id VARCHAR PRIMARY KEY, p INTEGER NOT NULL, f INTEGER);

-- The contents that the numbers stand for; image_key is '' where there is no picture.
CREATE TABLE query_keys   (query_key VARCHAR PRIMARY KEY, q INTEGER NOT NULL);
CREATE TABLE product_keys (title_key VARCHAR, image_key VARCHAR, p INTEGER NOT NULL,
                           PRIMARY KEY (title_key, image_key));

-- Distinct triples of a title, its feature text and the picture's. f_title and f_image are the
-- smallest f with the same title text and the same picture text: what it_candidates pairs.
CREATE TABLE features (
    f          INTEGER PRIMARY KEY,
    f_title    INTEGER NOT NULL,
    f_image    INTEGER,            -- NULL where there is no caption
    title_text VARCHAR NOT NULL,
    image_text VARCHAR,
    written    VARCHAR NOT NULL DEFAULT ''  -- the title as it is written
);

CREATE TABLE qp_candidates (
    filter_id INTEGER NOT NULL,
    q         INTEGER NOT NULL,
    f         INTEGER NOT NULL,
    q_i       DOUBLE,
    q_t       DOUBLE,
    cosine    DOUBLE,              -- (q_i + q_t) / 2
    score     DOUBLE NOT NULL,     -- what sigma is compared with
    vetoed    BOOLEAN NOT NULL,
    reasons   VARCHAR
);

CREATE TABLE it_candidates (
    filter_id INTEGER NOT NULL,
    f_image   INTEGER NOT NULL,
    f_title   INTEGER NOT NULL,
    i_t       DOUBLE NOT NULL,
    score     DOUBLE NOT NULL
);

-- What is known of a pair: review over label over click. A review rules in every split in which
-- the pair has a row; several labels of equal content are settled by majority, a tie is positive.
CREATE VIEW verdicts AS
WITH said AS (
    SELECT q, p, split, label AS positive, 2 AS rank, 'label' AS source
    FROM labels JOIN query_no USING (query_id) JOIN product_no USING (product_id)
    UNION ALL
    SELECT q, p, split, 1, 1, 'click'
    FROM clicks JOIN query_no USING (query_id) JOIN product_no USING (product_id)
), reviewed AS (
    SELECT q, p, arg_max(verdict, "at") AS positive
    FROM reviews JOIN query_no USING (query_id) JOIN product_no USING (product_id)
    GROUP BY q, p
), ruled AS (
    SELECT r.q, r.p, s.split, r.positive FROM reviewed r JOIN said s USING (q, p)
    UNION
    SELECT r.q, r.p, split, r.positive
    FROM reviewed r JOIN product_no USING (p) JOIN products USING (product_id)
)
SELECT q, p, positive = 1 AS positive, 'review' AS source, split FROM ruled
UNION ALL
SELECT q, p, positive, source, split FROM (
    SELECT q, p, split, source, rank, avg(positive) >= 0.5 AS positive,
           row_number() OVER (PARTITION BY q, p, split ORDER BY rank DESC) AS place
    FROM said GROUP BY q, p, split, source, rank
) unreviewed ANTI JOIN reviewed USING (q, p) WHERE place = 1;

-- The current filter's (q, f) that pass sigma. Scores are decided to 1e-6, as the join decides them.
-- Semi-joins, since the planner takes a join by sigma for a handful of rows, and then keeps the
-- millions that it gives in memory for whatever else is joined to them.
CREATE VIEW qp_corrections AS
SELECT c.* FROM qp_candidates c
SEMI JOIN filters g ON g.filter_id = c.filter_id AND g.current AND c.score >= g.sigma - 1e-6
WHERE NOT vetoed;

CREATE VIEW it_corrections AS
SELECT c.* FROM it_candidates c
SEMI JOIN filters g ON g.filter_id = c.filter_id AND g.current AND c.score >= g.sigma - 1e-6;

CREATE VIEW current_attributes AS
SELECT a.* FROM attributes a
JOIN meta g ON g.name = 'llm' AND a.generator = g.value
JOIN meta k ON k.name = 'llm_prompt_key' AND a.prompt_key = k.value;

CREATE VIEW current_captions AS
SELECT c.* FROM captions c
JOIN meta g ON g.name = 'captioner' AND c.generator = g.value
JOIN meta k ON k.name = 'captioner_prompt_key' AND c.prompt_key = k.value;

-- Corrections by id, for people: known pairs (verdicts of the train split) are left out.
CREATE VIEW query_product_corrections AS
SELECT query_id, query, product_id, title,
       concat_ws('; ', 'core word: ' || a.core_word, 'material: ' || a.material, 'brand: ' || a.brand,
                 'color: ' || a.color, 'model parameters: ' || a.model_parameters) AS attributes,
       features.image_text AS caption, q_i, q_t, score, reasons
FROM qp_corrections c
JOIN product_no USING (f)
ANTI JOIN (FROM verdicts WHERE split = 'train') v ON v.q = c.q AND v.p = product_no.p
JOIN query_no ON query_no.q = c.q JOIN queries USING (query_id)
JOIN products USING (product_id)
JOIN features USING (f)
LEFT JOIN current_attributes a USING (title_key);

CREATE VIEW image_title_corrections AS
SELECT ip.product_id AS image_product_id, fi.image_text AS caption,
       tp.product_id AS title_product_id, tp.title, i_t
FROM it_corrections c
JOIN features fi ON fi.f_image = c.f_image JOIN product_no inumber ON inumber.f = fi.f
JOIN products ip ON ip.product_id = inumber.product_id
JOIN features ft ON ft.f_title = c.f_title JOIN product_no tnumber ON tnumber.f = ft.f
JOIN products tp ON tp.product_id = tnumber.product_id
-- Inside coalesce, since the planner would join all products with all others by a bare inequality.
WHERE coalesce(ip.product_id <> tp.product_id AND ip.title_key <> tp.title_key
               AND ip.image_key IS DISTINCT FROM tp.image_key, false);

CREATE VIEW positives AS
SELECT query_id, product_id, source, split
FROM verdicts JOIN query_no USING (q) JOIN product_no USING (p)
WHERE positive
UNION ALL
SELECT query_id, product_id, 'genfilt', products.split
FROM query_product_corrections JOIN products USING (product_id);
