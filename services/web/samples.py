"""Programs of a few lines that send a point, with host and key filled in."""

from dataclasses import dataclass

PLACEHOLDER = "YOUR_KEY"


@dataclass(frozen=True)
class Sample:
    language: str
    text: str


def senders(base: str, key: str = PLACEHOLDER, stat: str = "hello world") -> list[Sample]:
    """One point in several languages; each works as it stands. `base` has no slash at its end."""
    curl = f"curl -d 'ezkey={key}' \\\n     -d 'stat={stat}' \\\n     -d 'count=1' \\\n     {base}/ez"
    python = (
        "from urllib.parse import urlencode\n"
        "from urllib.request import urlopen\n\n"
        f'point = {{"ezkey": "{key}",\n'
        f'         "stat": "{stat}", "count": 1}}\n'
        f'urlopen("{base}/ez", urlencode(point).encode())'
    )
    javascript = (
        f'await fetch("{base}/ez", {{\n'
        '  method: "POST",\n'
        f'  body: new URLSearchParams({{ezkey: "{key}",\n'
        f'    stat: "{stat}", count: "1"}}),\n'
        "});"
    )
    return [Sample("curl", curl), Sample("Python", python), Sample("JavaScript", javascript)]
