-- Logins and feature usage look at all history up to D, page views at D-29 .. D.
CREATE OR REPLACE TABLE behavior AS
SELECT p.user_id, p.feature_date,
       max(e.day) FILTER (WHERE e.event_type = 'login') AS last_login_date,
       least(365, coalesce(p.feature_date - max(e.day) FILTER (WHERE e.event_type = 'login'), 365))
           AS days_since_last_login,
       coalesce(sum(e.page_views) FILTER (
           WHERE e.event_type = 'page_view' AND e.day >= p.feature_date - 29), 0) AS page_views_30d,
       count(*) FILTER (WHERE e.event_type = 'feature_usage') AS feature_usage_count
FROM population p
LEFT JOIN (SELECT user_id, event_type, page_views, CAST(event_date AS DATE) AS day FROM user_behavior) e
  ON e.user_id = p.user_id AND e.day <= p.feature_date
GROUP BY p.user_id, p.feature_date;
