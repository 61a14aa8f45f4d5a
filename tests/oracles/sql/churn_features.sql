-- The published row: one per customer of the population and feature date.
SELECT p.user_id, p.feature_date, s.total_spend_30d, s.transaction_count_7d, s.transaction_count_30d,
       s.avg_transaction_value, b.last_login_date, b.days_since_last_login, b.page_views_30d,
       b.feature_usage_count, t.ticket_count_90d, t.avg_resolution_time_days, p.country, p.segment
FROM population p
JOIN spend s ON s.user_id = p.user_id AND s.feature_date = p.feature_date
JOIN behavior b ON b.user_id = p.user_id AND b.feature_date = p.feature_date
JOIN tickets t ON t.user_id = p.user_id AND t.feature_date = p.feature_date
ORDER BY p.feature_date, p.user_id;
