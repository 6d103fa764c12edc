"""Bucketed time series in Postgres: minute and hour rollups, days derived from hours."""
