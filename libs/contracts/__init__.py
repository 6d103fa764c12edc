"""What services say to each other: public events and bus queries, one file per producing service.

On the wire only additive changes: a new field has a default; anything else is a new event name.
"""
