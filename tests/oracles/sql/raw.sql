-- The dumps as loaded: every record of every dump, text only. identity is the whole record as text.
CREATE TABLE raw_transactions (dump INTEGER, extracted_at TIMESTAMP, identity VARCHAR,
    transaction_id VARCHAR, user_id VARCHAR, amount VARCHAR, currency VARCHAR,
    transaction_date VARCHAR, updated_at VARCHAR);
CREATE TABLE raw_customers (dump INTEGER, extracted_at TIMESTAMP, identity VARCHAR,
    user_id VARCHAR, email VARCHAR, country VARCHAR, segment VARCHAR, signup_date VARCHAR, updated_at VARCHAR);
CREATE TABLE raw_user_behavior (dump INTEGER, extracted_at TIMESTAMP, identity VARCHAR);
CREATE TABLE raw_support_tickets (dump INTEGER, extracted_at TIMESTAMP, identity VARCHAR,
    dump_date DATE, last_modified TIMESTAMP, parsed BOOLEAN, ticket_id VARCHAR, user_id VARCHAR,
    created_date VARCHAR, resolved_date VARCHAR, status VARCHAR, priority VARCHAR, subject VARCHAR);

-- The reasons that apply, sorted, without the nulls of those that do not.
CREATE MACRO reasons_of(candidates) AS list_sort(list_distinct(candidates));
CREATE MACRO out_of_range(day, first_seen) AS day < DATE '2000-01-01' OR day > CAST(first_seen AS DATE);

-- From CSV only ISO dates.
CREATE MACRO iso_date(field) AS
    CASE WHEN regexp_full_match(field, '[0-9]{4}-[0-9]{2}-[0-9]{2}') THEN TRY_CAST(field AS DATE) END;

-- From canonical extended JSON only the exact BSON types; anything else is NULL.
CREATE MACRO mongo_absent(doc, field) AS coalesce(json_type(doc, '$.' || field), 'NULL') = 'NULL';
CREATE MACRO mongo_text(doc, field) AS
    CASE WHEN json_type(doc, '$.' || field) = 'VARCHAR' THEN doc ->> ('$.' || field) END;
CREATE MACRO mongo_time(doc, field) AS TRY(make_timestamp(TRY_CAST(
    TRY_CAST(doc ->> ('$.' || field || '."$date"."$numberLong"') AS HUGEINT) * 1000 AS BIGINT)));
CREATE MACRO whole(number) AS CASE WHEN number = trunc(number) THEN TRY_CAST(number AS INTEGER) END;
CREATE MACRO mongo_int(doc, field) AS coalesce(
    TRY_CAST(doc ->> ('$.' || field || '."$numberInt"') AS INTEGER),
    TRY_CAST(doc ->> ('$.' || field || '."$numberLong"') AS INTEGER),
    whole(TRY_CAST(doc ->> ('$.' || field || '."$numberDouble"') AS DOUBLE)));
CREATE MACRO required(field, absent, typed) AS
    CASE WHEN absent THEN 'missing:' || field WHEN typed IS NULL THEN 'type:' || field END;
CREATE MACRO optional(field, absent, typed) AS
    CASE WHEN NOT absent AND typed IS NULL THEN 'type:' || field END;

-- total / n in exact integers, rounded half away from zero to 6 decimals.
CREATE MACRO mean_6(total, n) AS CAST(
    sign(total) * ((2 * abs(CAST(total AS HUGEINT)) * 1000000 + n) // (2 * CAST(n AS HUGEINT))) AS DOUBLE) / 1e6;
