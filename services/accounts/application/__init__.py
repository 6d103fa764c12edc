"""Commands of accounts; nobody else commits."""
