-- Only for PostgreSQL: SQLite writes words into its index at once.
SELECT 1;
