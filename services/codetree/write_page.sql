-- What an episode wrote down since its last page. One statement is one transaction, and one round trip.
-- Nothing is written unless the attempt still holds the job; the update locks its row against any other.
WITH held AS (
    UPDATE kit.jobs
    SET event_seq = event_seq + jsonb_array_length(CAST(:events AS jsonb)),
        progress = coalesce(CAST(:progress AS jsonb), progress)
    WHERE id = CAST(:job_id AS uuid) AND attempt = :attempt AND status IN ('running', 'cancelling')
    RETURNING id, api_key, event_seq - jsonb_array_length(CAST(:events AS jsonb)) AS logged
), recording AS (
    INSERT INTO codetree.recorded (job_id, kind, key, value)
    SELECT held.id, row.kind, row.key, row.value
    FROM held, jsonb_to_recordset(CAST(:recorded AS jsonb)) AS row (kind text, key text, value jsonb)
    ON CONFLICT DO NOTHING
), growing AS (
    INSERT INTO codetree.nodes (job_id, path, node)
    SELECT held.id, row.key, row.value FROM held, jsonb_each(CAST(:nodes AS jsonb)) AS row
    ON CONFLICT (job_id, path) DO UPDATE SET node = excluded.node, updated_at = now()
), spending AS (
    INSERT INTO kit.job_usage AS used (job_id, api_key, tokens, money_usd)
    SELECT id, api_key, CAST(:tokens AS bigint), CAST(:money_usd AS double precision)
    FROM held WHERE :tokens > 0 OR :money_usd > 0
    ON CONFLICT (job_id, day) DO UPDATE
    SET tokens = used.tokens + excluded.tokens, money_usd = used.money_usd + excluded.money_usd
), logging AS (
    INSERT INTO kit.job_events (job_id, seq, type, key, data)
    SELECT held.id, held.logged + row.number, row.event ->> 'type', row.event ->> 'key', row.event -> 'data'
    FROM held, jsonb_array_elements(CAST(:events AS jsonb)) WITH ORDINALITY AS row (event, number)
    RETURNING job_id
), announcing AS (
    SELECT pg_notify(:channel, CAST(id AS text)) FROM held WHERE jsonb_array_length(CAST(:events AS jsonb)) > 0
)
SELECT held.id FROM held LEFT JOIN announcing ON true
