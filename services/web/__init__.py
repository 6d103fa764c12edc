"""The pages for people. Owns no data: it calls the public API with the visitor's own session."""
