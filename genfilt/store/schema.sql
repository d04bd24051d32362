-- The tables that genfilt writes and trainer reads: schema version 2. views.sql has the views over them.
-- Keys are blake2b-128 of content in hexadecimal; ids are those of the user's data.

CREATE TABLE meta (name VARCHAR PRIMARY KEY, value VARCHAR NOT NULL);
COMMENT ON TABLE meta IS 'Settings of this database: schema version, current generators, picture folders';
COMMENT ON COLUMN meta.name IS 'Name of the setting';
COMMENT ON COLUMN meta.value IS 'Its value as text';

CREATE TABLE products (
    product_id VARCHAR PRIMARY KEY,
    title      VARCHAR NOT NULL,
    image      VARCHAR,
    category   VARCHAR,
    split      VARCHAR NOT NULL CHECK (split IN ('train', 'val', 'test')),
    title_key  VARCHAR NOT NULL,
    image_key  VARCHAR
);
COMMENT ON TABLE products IS 'The catalogue: one row for each listing';
COMMENT ON COLUMN products.product_id IS 'Id in the source data';
COMMENT ON COLUMN products.title IS 'Title as the source has it';
COMMENT ON COLUMN products.image IS 'Absolute path of the picture once found, else the value of the source';
COMMENT ON COLUMN products.category IS 'Category of the source; groups reports, never a feature';
COMMENT ON COLUMN products.split IS 'train, val or test';
COMMENT ON COLUMN products.title_key IS 'Hash of the title''s UTF-8 text';
COMMENT ON COLUMN products.image_key IS 'Hash of the picture file''s bytes; NULL without a readable file';

CREATE TABLE queries (
    query_id  VARCHAR PRIMARY KEY,
    query     VARCHAR NOT NULL,
    query_key VARCHAR NOT NULL
);
COMMENT ON TABLE queries IS 'Search queries';
COMMENT ON COLUMN queries.query_id IS 'Id in the source data';
COMMENT ON COLUMN queries.query IS 'Query as the source has it';
COMMENT ON COLUMN queries.query_key IS 'Hash of the query after NFKC, collapsed white space and case folding';

CREATE TABLE clicks (
    query_id   VARCHAR NOT NULL,
    product_id VARCHAR NOT NULL,
    clicks     BIGINT NOT NULL CHECK (clicks > 0),
    split      VARCHAR NOT NULL CHECK (split IN ('train', 'val', 'test')),
    PRIMARY KEY (query_id, product_id)
);
COMMENT ON TABLE clicks IS 'Click log, summed by query and product';
COMMENT ON COLUMN clicks.query_id IS 'Query that was searched';
COMMENT ON COLUMN clicks.product_id IS 'Product that was clicked';
COMMENT ON COLUMN clicks.clicks IS 'Number of clicks';
COMMENT ON COLUMN clicks.split IS 'train, val or test';

CREATE TABLE labels (
    query_id   VARCHAR NOT NULL,
    product_id VARCHAR NOT NULL,
    label      TINYINT NOT NULL CHECK (label IN (0, 1)),
    grade      VARCHAR,
    split      VARCHAR NOT NULL CHECK (split IN ('train', 'val', 'test')),
    PRIMARY KEY (query_id, product_id)
);
COMMENT ON TABLE labels IS 'Relevance judgements of the source data';
COMMENT ON COLUMN labels.query_id IS 'Judged query';
COMMENT ON COLUMN labels.product_id IS 'Judged product';
COMMENT ON COLUMN labels.label IS '1 relevant, 0 not relevant';
COMMENT ON COLUMN labels.grade IS 'Grade as the source has it, where it is not 0 or 1';
COMMENT ON COLUMN labels.split IS 'train, val or test';

CREATE TABLE reviews (
    query_id   VARCHAR NOT NULL,
    product_id VARCHAR NOT NULL,
    verdict    TINYINT CHECK (verdict IN (0, 1)),
    reviewer   VARCHAR NOT NULL DEFAULT '',
    note       VARCHAR,
    "at"       TIMESTAMP NOT NULL,
    PRIMARY KEY (query_id, product_id, reviewer)
);
COMMENT ON TABLE reviews IS 'Judgements that people gave on drawn corrections';
COMMENT ON COLUMN reviews.query_id IS 'Reviewed query';
COMMENT ON COLUMN reviews.product_id IS 'Reviewed product';
COMMENT ON COLUMN reviews.verdict IS '1 relevant, 0 not relevant, NULL when the reviewer withdrew the verdict';
COMMENT ON COLUMN reviews.reviewer IS 'Name of the reviewer, empty when none was given';
COMMENT ON COLUMN reviews.note IS 'Remark of the reviewer';
COMMENT ON COLUMN reviews."at" IS 'Time of the review, UTC';

CREATE TABLE files (
    path      VARCHAR PRIMARY KEY,
    size      BIGINT,
    mtime_ns  BIGINT,
    etag      VARCHAR,
    image_key VARCHAR
);
COMMENT ON TABLE files IS 'Picture files that were read; an unchanged file is not read again';
COMMENT ON COLUMN files.path IS 'Absolute path or address of the file';
COMMENT ON COLUMN files.size IS 'Size in bytes when it was read';
COMMENT ON COLUMN files.mtime_ns IS 'Modification time in nanoseconds since 1970; NULL for addresses';
COMMENT ON COLUMN files.etag IS 'HTTP or object store entity tag; NULL for local files';
COMMENT ON COLUMN files.image_key IS 'Hash of the file''s bytes; NULL when it was not a readable picture';

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
COMMENT ON TABLE attributes IS 'Attributes that a generator read from titles and queries';
COMMENT ON COLUMN attributes.title_key IS 'Hash of the title, or of the query, that was read';
COMMENT ON COLUMN attributes.prompt_key IS 'Hash of the prompt and settings';
COMMENT ON COLUMN attributes.generator IS 'Name and version of the reader';
COMMENT ON COLUMN attributes.core_word IS 'Kind of product';
COMMENT ON COLUMN attributes.material IS 'Materials, separated by comma and blank';
COMMENT ON COLUMN attributes.brand IS 'Brand';
COMMENT ON COLUMN attributes.color IS 'Colours, separated by comma and blank';
COMMENT ON COLUMN attributes.model_parameters IS 'Sizes, quantities and model numbers, separated by comma and blank';
COMMENT ON COLUMN attributes.raw IS 'Whole reply of the generator';
COMMENT ON COLUMN attributes.created_at IS 'Time of writing, UTC';

CREATE TABLE captions (
    image_key  VARCHAR NOT NULL,
    prompt_key VARCHAR NOT NULL,
    generator  VARCHAR NOT NULL,
    caption    VARCHAR NOT NULL,
    raw        VARCHAR NOT NULL,
    created_at TIMESTAMP NOT NULL,
    PRIMARY KEY (image_key, prompt_key, generator)
);
COMMENT ON TABLE captions IS 'Captions that a generator wrote for pictures';
COMMENT ON COLUMN captions.image_key IS 'Hash of the picture file';
COMMENT ON COLUMN captions.prompt_key IS 'Hash of the prompt and settings';
COMMENT ON COLUMN captions.generator IS 'Name and version of the captioner';
COMMENT ON COLUMN captions.caption IS 'Caption; empty when the captioner abstained';
COMMENT ON COLUMN captions.raw IS 'Whole reply of the generator';
COMMENT ON COLUMN captions.created_at IS 'Time of writing, UTC';

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
COMMENT ON TABLE failures IS 'Items that a step could not process; a row goes when its item succeeds';
COMMENT ON COLUMN failures.step IS 'ingest, extract or caption';
COMMENT ON COLUMN failures.item_key IS 'Product id in ingest, else the hash of the title or picture';
COMMENT ON COLUMN failures.generator IS 'Generator that failed, empty in ingest';
COMMENT ON COLUMN failures.reason IS 'Kind of failure, in a few fixed words';
COMMENT ON COLUMN failures.detail IS 'Particulars of this item';
COMMENT ON COLUMN failures.attempts IS 'Number of failed attempts';
COMMENT ON COLUMN failures.last_at IS 'Time of the last attempt, UTC';

CREATE TABLE generator_states (
    generator  VARCHAR PRIMARY KEY,
    state      BLOB NOT NULL,
    products   BIGINT NOT NULL,
    created_at TIMESTAMP NOT NULL
);
COMMENT ON TABLE generator_states IS 'Fitted state of generators that learn from the catalogue';
COMMENT ON COLUMN generator_states.generator IS 'Name of the generator, with the hash of its state';
COMMENT ON COLUMN generator_states.state IS 'Fitted state, compressed';
COMMENT ON COLUMN generator_states.products IS 'Number of train products when it was fitted';
COMMENT ON COLUMN generator_states.created_at IS 'Time of fitting, UTC';

CREATE TABLE vectors (
    embedder VARCHAR NOT NULL,
    text_key VARCHAR NOT NULL,
    vector   FLOAT[] NOT NULL
);
COMMENT ON TABLE vectors IS 'Embeddings of feature texts and queries';
COMMENT ON COLUMN vectors.embedder IS 'Name of the sentence encoder';
COMMENT ON COLUMN vectors.text_key IS 'Hash of the text';
COMMENT ON COLUMN vectors.vector IS 'Unit vector';

CREATE TABLE filters (
    filter_id         INTEGER PRIMARY KEY,
    rule              VARCHAR NOT NULL,
    sigma             DOUBLE NOT NULL,
    image_title_sigma DOUBLE NOT NULL,
    floor             DOUBLE NOT NULL,
    base_rate         DOUBLE,
    max_per_query     INTEGER,
    embedder          VARCHAR NOT NULL,
    llm               VARCHAR NOT NULL,
    captioner         VARCHAR NOT NULL,
    template          VARCHAR NOT NULL,
    created_at        TIMESTAMP NOT NULL,
    current           BOOLEAN NOT NULL,
    joined_q          INTEGER NOT NULL,
    joined_f          INTEGER NOT NULL
);
COMMENT ON TABLE filters IS 'Runs of genfilt filter with their settings; one of them is current';
COMMENT ON COLUMN filters.filter_id IS 'Number of the filter';
COMMENT ON COLUMN filters.rule IS 'paper: score is a mean cosine; calibrated: score is a probability of relevance';
COMMENT ON COLUMN filters.sigma IS 'Score from which a query-product candidate is a correction';
COMMENT ON COLUMN filters.image_title_sigma IS 'Cosine from which an image-title candidate is a correction, under every rule';
COMMENT ON COLUMN filters.floor IS 'Score from which query-product candidates are stored';
COMMENT ON COLUMN filters.base_rate IS 'Share of relevant pairs given by the user; NULL when it was estimated';
COMMENT ON COLUMN filters.max_per_query IS 'Most candidates stored for one query; NULL without a limit';
COMMENT ON COLUMN filters.embedder IS 'Name of the sentence encoder';
COMMENT ON COLUMN filters.llm IS 'Generator of the attributes';
COMMENT ON COLUMN filters.captioner IS 'Generator of the captions';
COMMENT ON COLUMN filters.template IS 'Version of the feature texts';
COMMENT ON COLUMN filters.created_at IS 'Time of the first run with these settings, UTC';
COMMENT ON COLUMN filters.current IS 'Whether the candidates belong to this filter';
COMMENT ON COLUMN filters.joined_q IS 'Largest query number that was joined; a later run joins only what came after';
COMMENT ON COLUMN filters.joined_f IS 'Largest feature number that was joined; a later run joins only what came after';

CREATE TABLE filter_fits (
    filter_id   INTEGER PRIMARY KEY,
    fit         VARCHAR,
    audit       VARCHAR,
    reliability VARCHAR,
    created_at  TIMESTAMP NOT NULL
);
COMMENT ON TABLE filter_fits IS 'Fit of a filter''s rule and its audit, written by genfilt filter and read by audit, report and status';
COMMENT ON COLUMN filter_fits.filter_id IS 'Filter that the fit belongs to';
COMMENT ON COLUMN filter_fits.fit IS 'Fitted model as JSON; NULL under the rule paper, which has none';
COMMENT ON COLUMN filter_fits.audit IS 'Precision, recall, their intervals and the number of corrections over sigma, as JSON';
COMMENT ON COLUMN filter_fits.reliability IS 'Estimated against observed relevance by range of the score, as JSON';
COMMENT ON COLUMN filter_fits.created_at IS 'Time of fitting, UTC';

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
COMMENT ON TABLE runs IS 'Log of the commands that wrote to this database';
COMMENT ON COLUMN runs.run_id IS 'Number of the run';
COMMENT ON COLUMN runs.command IS 'Command';
COMMENT ON COLUMN runs.config IS 'Its options, as JSON';
COMMENT ON COLUMN runs.versions IS 'Versions of the packages that decide a result, as JSON';
COMMENT ON COLUMN runs.started IS 'Time of the start, UTC';
COMMENT ON COLUMN runs.finished IS 'Time of the end, UTC; NULL while it runs or when it was killed';
COMMENT ON COLUMN runs.status IS 'running, done, failed or interrupted';
COMMENT ON COLUMN runs.counts IS 'Numbers of items processed and failed, or the error, as JSON';

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
COMMENT ON TABLE samples IS 'Corrections that were drawn for review';
COMMENT ON COLUMN samples.draw IS 'Number of the draw';
COMMENT ON COLUMN samples.filter_id IS 'Filter whose corrections were sampled';
COMMENT ON COLUMN samples.query_id IS 'Drawn query';
COMMENT ON COLUMN samples.product_id IS 'Drawn product';
COMMENT ON COLUMN samples.score IS 'Score of the correction';
COMMENT ON COLUMN samples.probability IS 'Probability with which the pair was drawn';
COMMENT ON COLUMN samples.drawn_at IS 'Time of the draw, UTC';

-- Numbers are given once and never again, so candidates stay valid while the catalogue grows.
CREATE TABLE query_no (query_id VARCHAR PRIMARY KEY, q INTEGER NOT NULL);
COMMENT ON TABLE query_no IS 'Number q of each query; equal queries share one';
COMMENT ON COLUMN query_no.query_id IS 'Id of the query';
COMMENT ON COLUMN query_no.q IS 'Number of the query''s content';

CREATE TABLE product_no (product_id VARCHAR PRIMARY KEY, p INTEGER NOT NULL, f INTEGER);
COMMENT ON TABLE product_no IS 'Numbers p and f of each product; equal listings share them';
COMMENT ON COLUMN product_no.product_id IS 'Id of the product';
COMMENT ON COLUMN product_no.p IS 'Number of the product''s title and picture';
COMMENT ON COLUMN product_no.f IS 'Number of its feature texts; NULL before genfilt filter has seen it';

CREATE TABLE query_keys (query_key VARCHAR PRIMARY KEY, q INTEGER NOT NULL);
COMMENT ON TABLE query_keys IS 'Content that each number q stands for';
COMMENT ON COLUMN query_keys.query_key IS 'Hash of the query';
COMMENT ON COLUMN query_keys.q IS 'Its number';

CREATE TABLE product_keys (
    title_key VARCHAR,
    image_key VARCHAR,
    p         INTEGER NOT NULL,
    PRIMARY KEY (title_key, image_key)
);
COMMENT ON TABLE product_keys IS 'Content that each number p stands for';
COMMENT ON COLUMN product_keys.title_key IS 'Hash of the title';
COMMENT ON COLUMN product_keys.image_key IS 'Hash of the picture file, empty without a picture';
COMMENT ON COLUMN product_keys.p IS 'Their number';

CREATE TABLE features (
    f          INTEGER PRIMARY KEY,
    f_title    INTEGER NOT NULL,
    f_image    INTEGER,
    title_text VARCHAR NOT NULL,
    image_text VARCHAR,
    written    VARCHAR NOT NULL DEFAULT ''
);
COMMENT ON TABLE features IS 'Distinct combinations of a title, its feature text and its picture''s feature text';
COMMENT ON COLUMN features.f IS 'Number of the combination';
COMMENT ON COLUMN features.f_title IS 'Smallest f with the same title_text; it_candidates pairs these';
COMMENT ON COLUMN features.f_image IS 'Smallest f with the same image_text; NULL without a caption';
COMMENT ON COLUMN features.title_text IS 'Text that is embedded for the title: brand, colour, material, core word, model parameters';
COMMENT ON COLUMN features.image_text IS 'Text that is embedded for the picture: its caption';
COMMENT ON COLUMN features.written IS 'Title as the source has it';

CREATE TABLE qp_candidates (
    filter_id INTEGER NOT NULL,
    q         INTEGER NOT NULL,
    f         INTEGER NOT NULL,
    q_i       DOUBLE,
    q_t       DOUBLE,
    cosine    DOUBLE,
    score     DOUBLE NOT NULL,
    vetoed    BOOLEAN NOT NULL,
    reasons   VARCHAR
);
COMMENT ON TABLE qp_candidates IS 'Pairs of a query and a product''s feature texts whose score reaches the floor';
COMMENT ON COLUMN qp_candidates.filter_id IS 'Filter that found the pair';
COMMENT ON COLUMN qp_candidates.q IS 'Number of the query';
COMMENT ON COLUMN qp_candidates.f IS 'Number of the feature texts';
COMMENT ON COLUMN qp_candidates.q_i IS 'Cosine of query and picture text; NULL without a caption';
COMMENT ON COLUMN qp_candidates.q_t IS 'Cosine of query and title text';
COMMENT ON COLUMN qp_candidates.cosine IS 'Mean of q_i and q_t, or q_t without a caption';
COMMENT ON COLUMN qp_candidates.score IS 'Score of the rule, which sigma is compared with';
COMMENT ON COLUMN qp_candidates.vetoed IS 'Whether the rule rejects the pair in spite of its score';
COMMENT ON COLUMN qp_candidates.reasons IS 'What speaks for the pair and against it';

CREATE TABLE it_candidates (
    filter_id INTEGER NOT NULL,
    f_image   INTEGER NOT NULL,
    f_title   INTEGER NOT NULL,
    i_t       DOUBLE NOT NULL,
    score     DOUBLE NOT NULL
);
COMMENT ON TABLE it_candidates IS 'Pairs of a picture text and a title text whose cosine reaches the image-title sigma';
COMMENT ON COLUMN it_candidates.filter_id IS 'Filter that found the pair';
COMMENT ON COLUMN it_candidates.f_image IS 'Number of the picture text';
COMMENT ON COLUMN it_candidates.f_title IS 'Number of the title text';
COMMENT ON COLUMN it_candidates.i_t IS 'Cosine of picture text and title text';
COMMENT ON COLUMN it_candidates.score IS 'Score that image_title_sigma is compared with: the cosine';
