-- Tickets created in D-89 .. D; a ticket counts as resolved only if that was known at D.
CREATE OR REPLACE TABLE tickets AS
SELECT p.user_id, p.feature_date,
       count(t.ticket_id) AS ticket_count_90d,
       mean_6(sum(t.resolved_date - t.created_date) FILTER (WHERE t.resolved_date <= p.feature_date),
              nullif(count(*) FILTER (WHERE t.resolved_date <= p.feature_date), 0)) AS avg_resolution_time_days
FROM population p
LEFT JOIN support_tickets t
  ON t.user_id = p.user_id AND t.created_date BETWEEN p.feature_date - 89 AND p.feature_date
GROUP BY p.user_id, p.feature_date;
