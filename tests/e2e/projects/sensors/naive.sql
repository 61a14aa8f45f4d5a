-- sensor_health by its definition, over the newest record of each key; $dates are the feature dates.
WITH dates AS (SELECT unnest($dates::DATE[]) AS d),
readings AS (SELECT * FROM all_readings WHERE channel IN ('in', 'out')
    QUALIFY row_number() OVER (PARTITION BY sensor, channel, read_at ORDER BY written_at DESC) = 1),
faults AS (SELECT * FROM all_faults WHERE cleared IS NULL OR cleared >= raised
    QUALIFY row_number() OVER (PARTITION BY fault ORDER BY written_at DESC) = 1),
visits AS (SELECT * FROM all_visits WHERE minutes IS NULL OR minutes >= 0
    QUALIFY row_number() OVER (PARTITION BY _id ORDER BY written_at DESC) = 1),
people AS (SELECT sensor, d FROM readings, dates GROUP BY sensor, d HAVING min(read_at)::DATE <= d)
SELECT sensor, d AS feature_date,
    (SELECT count(*) FROM readings r WHERE r.sensor = p.sensor AND read_at::DATE = d) AS readings_1d,
    (SELECT mean_6(sum((celsius * 1000)::BIGINT), count(*), 1000) FROM readings r
        WHERE r.sensor = p.sensor AND channel = 'in' AND read_at::DATE BETWEEN d - 6 AND d) AS mean_inside_7d,
    (SELECT coalesce(sum(celsius), 0)::DECIMAL(18,3) FROM readings r
        WHERE r.sensor = p.sensor AND read_at::DATE BETWEEN d - 1 AND d) AS degrees_2d,
    (SELECT count(*) FROM faults f
        WHERE f.sensor_name = p.sensor AND severity = 'severe' AND raised BETWEEN d - 4 AND d) AS severe_faults_5d,
    (SELECT mean_6(sum(cleared - raised), count(*), 1) FROM faults f
        WHERE f.sensor_name = p.sensor AND raised BETWEEN d - 8 AND d AND cleared <= d) AS days_to_clear_9d,
    (SELECT max(visited_at::DATE) FROM visits v
        WHERE v.sensor = p.sensor AND visited_at::DATE <= d) AS last_visit,
    (SELECT coalesce(least(9, d - max(visited_at::DATE)), 9) FROM visits v
        WHERE v.sensor = p.sensor AND visited_at::DATE <= d)::INTEGER AS days_since_visit,
    (SELECT coalesce(sum(minutes), 0)::BIGINT FROM visits v
        WHERE v.sensor = p.sensor AND visited_at::DATE <= d) AS minutes_on_site
FROM people p
