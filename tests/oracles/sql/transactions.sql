-- Row rules of PostgreSQL transactions.
CREATE TABLE judged_transactions AS
WITH typed AS (
    SELECT identity, copies, first_seen, CAST(transaction_id AS BIGINT) AS transaction_id, user_id,
           TRY_CAST(amount AS DECIMAL(12, 2)) AS amount, amount AS amount_text, currency,
           TRY_CAST(transaction_date AS TIMESTAMP) AS transaction_date, transaction_date AS date_text,
           TRY_CAST(updated_at AS TIMESTAMP) AS updated_at, updated_at AS updated_text
    FROM seen_transactions)
SELECT *, CAST(transaction_id AS VARCHAR) AS record_key, reasons_of([
    CASE WHEN transaction_id IS NULL THEN 'null_key' END,
    CASE WHEN user_id IS NULL THEN 'missing:user_id' END,
    CASE WHEN user_id NOT IN (SELECT user_id FROM customers) THEN 'unknown_user' END,
    required('amount', amount_text IS NULL, amount),
    CASE WHEN amount < 0 THEN 'negative:amount' END,
    CASE WHEN currency IS NULL THEN 'missing:currency' WHEN currency <> 'USD' THEN 'currency' END,
    required('transaction_date', date_text IS NULL, transaction_date),
    CASE WHEN out_of_range(CAST(transaction_date AS DATE), first_seen) THEN 'range:transaction_date' END,
    required('updated_at', updated_text IS NULL, updated_at)]) AS reasons
FROM typed;

CREATE TABLE transactions AS
SELECT transaction_id, user_id, amount, currency, transaction_date, updated_at
FROM judged_transactions
WHERE len(reasons) = 0
QUALIFY row_number() OVER (
    PARTITION BY transaction_id
    ORDER BY updated_at DESC, user_id DESC, amount DESC, currency DESC, transaction_date DESC) = 1;
