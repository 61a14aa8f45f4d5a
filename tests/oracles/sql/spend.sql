-- 30 days at D are D-29 .. D, 7 days are D-6 .. D.
CREATE OR REPLACE TABLE spend AS
SELECT p.user_id, p.feature_date,
       coalesce(sum(t.amount), 0) AS total_spend_30d,
       count(t.day) FILTER (WHERE t.day >= p.feature_date - 6) AS transaction_count_7d,
       count(t.day) AS transaction_count_30d,
       coalesce(mean_6(sum(t.cents), 100 * nullif(count(t.day), 0)), 0) AS avg_transaction_value
FROM population p
LEFT JOIN (SELECT user_id, amount, CAST(amount * 100 AS BIGINT) AS cents, CAST(transaction_date AS DATE) AS day
           FROM transactions) t
  ON t.user_id = p.user_id AND t.day BETWEEN p.feature_date - 29 AND p.feature_date
GROUP BY p.user_id, p.feature_date;
