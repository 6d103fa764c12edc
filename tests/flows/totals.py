"""What flows look at in the end: what an account's stats come to."""

from typing import Any

from tests.eventually import until
from tests.running import Person


def escaped(name: str) -> str:
    """A name in a path, dots and all: `..` would be taken for a way up."""
    return "".join(f"%{byte:02X}" for byte in name.encode())


def summary(person: Person, name: str, n: int = 1, within: float = 10) -> Any:
    """The summary of a stat over all time, once it has (exactly) n points."""

    def read() -> Any:
        path = f"/api/v1/stats/{escaped(name)}"
        answer = person.client.get(path, params={"from": "0", "to": "4000000000", "resolution": "1d"})
        found = answer.json()["summary"] if answer.status_code == 200 else {"n": 0}
        return found if found["n"] >= n else None

    found = until(read, within=within)
    assert found["n"] == n
    return found
