-- What a day costs without an engine: customer_churn_features of one date, as most people would write it.
-- Runs in Spark and in DuckDB alike; {days} is the one difference: how each counts days between two dates.
WITH spend AS (
    SELECT user_id,
           sum(amount) AS total_spend_30d,
           count(CASE WHEN transaction_date >= {week} THEN 1 END) AS transaction_count_7d,
           count(*) AS transaction_count_30d,
           avg(amount) AS avg_transaction_value
    FROM transactions
    WHERE transaction_date >= {month} AND transaction_date < {tomorrow}
    GROUP BY user_id
), behavior AS (
    SELECT user_id,
           max(CASE WHEN event_type = 'login' THEN CAST(event_date AS DATE) END) AS last_login_date,
           sum(CASE WHEN event_type = 'page_view' AND event_date >= {month} THEN page_views END) AS page_views_30d,
           count(CASE WHEN event_type = 'feature_usage' THEN 1 END) AS feature_usage_count
    FROM user_behavior
    WHERE event_date < {tomorrow}
    GROUP BY user_id
), tickets AS (
    SELECT user_id,
           count(*) AS ticket_count_90d,
           avg(CASE WHEN resolved_date <= {day} THEN {days} END) AS avg_resolution_time_days
    FROM support_tickets
    WHERE created_date >= {quarter} AND created_date < {tomorrow}
    GROUP BY user_id
)
SELECT customers.user_id, {day} AS feature_date,
       coalesce(total_spend_30d, 0) AS total_spend_30d,
       coalesce(transaction_count_7d, 0) AS transaction_count_7d,
       coalesce(transaction_count_30d, 0) AS transaction_count_30d,
       coalesce(avg_transaction_value, 0) AS avg_transaction_value,
       last_login_date,
       coalesce(page_views_30d, 0) AS page_views_30d,
       coalesce(feature_usage_count, 0) AS feature_usage_count,
       coalesce(ticket_count_90d, 0) AS ticket_count_90d,
       avg_resolution_time_days, country, segment
FROM customers
LEFT JOIN spend ON spend.user_id = customers.user_id
LEFT JOIN behavior ON behavior.user_id = customers.user_id
LEFT JOIN tickets ON tickets.user_id = customers.user_id
WHERE signup_date <= {day}
