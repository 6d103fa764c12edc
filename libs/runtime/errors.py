"""The one error of this room that a person is meant to read."""


class CannotRun(Exception):
    """EzStat can't do what was asked for, and the operator can change that; the message says how. No trace is shown."""
