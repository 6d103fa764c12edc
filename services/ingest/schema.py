"""The tables of ingest."""

from importlib.resources import files

from libs.series import rollups


def schema() -> str:
    """SQL, safe to run again."""
    return rollups.ddl("ingest") + files(__package__).joinpath("schema.sql").read_text()
