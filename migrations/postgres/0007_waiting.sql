-- Whether a delivery is held back by one before it is asked of this index alone. No other of those that wait has its condition, so that PostgreSQL
-- cannot take one for cheaper while it believes that nothing waits.
DROP INDEX deliveries_pending_order;
CREATE INDEX deliveries_waiting ON deliveries (recipient_id, event_id, channel, due_at) WHERE finished_at IS NULL;
