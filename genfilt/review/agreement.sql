-- Pairs of a draw with answers of two or more reviewers, and those on which all agree.
SELECT count(*), count(*) FILTER (verdicts = 1)
FROM (SELECT count(DISTINCT verdict) AS verdicts
      FROM reviews SEMI JOIN (FROM samples WHERE draw = $draw) USING (query_id, product_id)
      WHERE verdict IS NOT NULL
      GROUP BY query_id, product_id HAVING count(*) > 1)
