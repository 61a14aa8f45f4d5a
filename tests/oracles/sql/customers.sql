-- Row rules of PostgreSQL customers.
CREATE TABLE judged_customers AS
WITH typed AS (
    SELECT identity, copies, user_id, email, country, segment,
           TRY_CAST(signup_date AS DATE) AS signup_date, signup_date AS signup_text,
           TRY_CAST(updated_at AS TIMESTAMP) AS updated_at, updated_at AS updated_text
    FROM seen_customers)
SELECT *, user_id AS record_key, reasons_of([
    CASE WHEN user_id IS NULL OR user_id = '' THEN 'null_key' END,
    required('signup_date', signup_text IS NULL, signup_date),
    required('updated_at', updated_text IS NULL, updated_at)]) AS reasons
FROM typed;

-- Every good version is kept: the key is (user_id, updated_at).
CREATE TABLE customers AS
SELECT user_id, email, country, segment, signup_date, updated_at
FROM judged_customers
WHERE len(reasons) = 0
QUALIFY row_number() OVER (
    PARTITION BY user_id, updated_at
    ORDER BY email DESC NULLS LAST, country DESC NULLS LAST, segment DESC NULLS LAST, signup_date DESC) = 1;
