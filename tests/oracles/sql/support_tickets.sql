-- Row rules of the support ticket lines; an empty CSV field is null.
CREATE TABLE judged_support_tickets AS
WITH typed AS (
    SELECT identity, copies, first_seen, parsed, dump_date, last_modified,
           nullif(ticket_id, '') AS ticket_id, nullif(user_id, '') AS user_id,
           iso_date(created_date) AS created_date, nullif(created_date, '') AS created_text,
           iso_date(resolved_date) AS resolved_date, nullif(resolved_date, '') AS resolved_text,
           nullif(status, '') AS status, nullif(priority, '') AS priority, nullif(subject, '') AS subject
    FROM seen_support_tickets)
SELECT *, ticket_id AS record_key, CASE WHEN NOT parsed THEN ['unparsable'] ELSE reasons_of([
    CASE WHEN ticket_id IS NULL THEN 'null_key' END,
    CASE WHEN user_id IS NULL THEN 'missing:user_id' END,
    CASE WHEN user_id NOT IN (SELECT user_id FROM customers) THEN 'unknown_user' END,
    required('created_date', created_text IS NULL, created_date),
    CASE WHEN out_of_range(created_date, first_seen) THEN 'range:created_date' END,
    optional('resolved_date', resolved_text IS NULL, resolved_date),
    CASE WHEN resolved_date < created_date THEN 'order:resolved_date' END,
    CASE WHEN status IS NULL THEN 'missing:status' END]) END AS reasons
FROM typed;

CREATE TABLE support_tickets AS
SELECT ticket_id, user_id, created_date, resolved_date, status, priority, subject, dump_date, last_modified
FROM judged_support_tickets
WHERE len(reasons) = 0
QUALIFY row_number() OVER (
    PARTITION BY ticket_id
    ORDER BY dump_date DESC, last_modified DESC, user_id DESC, created_date DESC, resolved_date DESC NULLS LAST,
             status DESC, priority DESC NULLS LAST, subject DESC NULLS LAST) = 1;
