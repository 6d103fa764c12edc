"""HTTP of ingest: parse, call, answer."""
