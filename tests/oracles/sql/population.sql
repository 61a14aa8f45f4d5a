-- Who has a row at D, and with which attributes: the version valid at the end of D,
-- or the first known version before it began.
CREATE OR REPLACE TABLE population AS
WITH history AS (
    SELECT user_id, country, segment, signup_date,
           CASE WHEN row_number() OVER versions = 1 THEN TIMESTAMP '-infinity' ELSE updated_at END AS valid_from,
           coalesce(lead(updated_at) OVER versions, TIMESTAMP 'infinity') AS valid_to
    FROM customers
    WINDOW versions AS (PARTITION BY user_id ORDER BY updated_at))
SELECT h.user_id, d.feature_date, h.country, h.segment
FROM dates d
JOIN history h
  ON h.valid_from < CAST(d.feature_date + 1 AS TIMESTAMP)
 AND h.valid_to >= CAST(d.feature_date + 1 AS TIMESTAMP)
WHERE h.signup_date <= d.feature_date;
