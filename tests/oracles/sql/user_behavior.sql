-- Row rules of MongoDB user_behavior; identity is the document in canonical extended JSON.
CREATE TABLE judged_user_behavior AS
WITH typed AS (
    SELECT identity, copies, first_seen, mongo_text(identity, '_id') AS _id,
           mongo_text(identity, 'user_id') AS user_id, mongo_text(identity, 'event_type') AS event_type,
           mongo_time(identity, 'event_date') AS event_date, mongo_int(identity, 'page_views') AS page_views,
           mongo_text(identity, 'feature') AS feature, mongo_time(identity, 'updated_at') AS updated_at
    FROM seen_user_behavior)
SELECT *, _id AS record_key, reasons_of([
    CASE WHEN mongo_absent(identity, '_id') OR _id = '' THEN 'null_key' WHEN _id IS NULL THEN 'type:_id' END,
    required('user_id', mongo_absent(identity, 'user_id'), user_id),
    CASE WHEN user_id NOT IN (SELECT user_id FROM customers) THEN 'unknown_user' END,
    required('event_type', mongo_absent(identity, 'event_type'), event_type),
    required('event_date', mongo_absent(identity, 'event_date'), event_date),
    CASE WHEN out_of_range(CAST(event_date AS DATE), first_seen) THEN 'range:event_date' END,
    optional('page_views', mongo_absent(identity, 'page_views'), page_views),
    CASE WHEN page_views < 0 THEN 'negative:page_views' END,
    optional('feature', mongo_absent(identity, 'feature'), feature),
    required('updated_at', mongo_absent(identity, 'updated_at'), updated_at)]) AS reasons
FROM typed;

CREATE TABLE user_behavior AS
SELECT _id, user_id, event_type, event_date, page_views, feature, updated_at
FROM judged_user_behavior
WHERE len(reasons) = 0
QUALIFY row_number() OVER (
    PARTITION BY _id
    ORDER BY updated_at DESC, user_id DESC, event_type DESC, event_date DESC,
             page_views DESC NULLS LAST, feature DESC NULLS LAST) = 1;
