"""Logging of every process: one line per record on stderr, for people or as JSON, never with a secret in it."""

import json
import logging
import re
import sys
import time
from typing import Any, Literal

Format = Literal["human", "json"]

HIDDEN = "[redacted]"
_HIDDEN_NAMES = (
    "ukey|ezkey|api_?key|(?:[a-z]+_)?token|(?:[a-z]+_)?password|(?:[a-z]+_)?secret|csrf|pepper"
    "|authorization|cookie|set-cookie|stripe-signature|(?:__Host-)?ezstat_session|sig(?:nature)?"
)
_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    # a header line or its pair of bytes: all of the value, blanks too
    (re.compile(r"""(?i)(["']?(?:authorization|cookie|set-cookie|stripe-signature)["']?\s*[:=,]\s*b?["']?)[^"'\r\n]+"""),
     rf"\1{HIDDEN}"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[^\s\"',;]+"), rf"\1 {HIDDEN}"),
    # name=value of queries and forms, name: value of JSON and of Python's repr
    (re.compile(rf"""(?i)(?<![a-z0-9])((?:{_HIDDEN_NAMES})["']?\s*(?:=|:|%3D)\s*b?["']?)[^\s"'&;,)}}\]]+"""),
     rf"\1{HIDDEN}"),
    # the same name with a value in quotes that holds blanks
    (re.compile(rf"""(?i)(["'](?:{_HIDDEN_NAMES})["']\s*:\s*b?["'])[^"']+"""), rf"\1{HIDDEN}"),
    # `key` is a stat's name in /c and /v: hidden only when it looks like a key
    (re.compile(r"(?i)(?<![a-z0-9_])(key[\"']?\s*(?:=|:)\s*[\"']?)(?=[\w-]*\d)[\w-]{20,}"), rf"\1{HIDDEN}"),
    # what is a key by its own look, wherever it stands
    (re.compile(r"\b(?:ss_live|ss_test|sk_live|sk_test|ezi_sk|aiz_live|whsec|shr|st)_[A-Za-z0-9_+/=-]{8,}"), HIDDEN),
    (re.compile(r"(?i)(\b[a-z][a-z0-9+.-]*://[^\s/:@]*:)[^\s@/]+@"), rf"\1{HIDDEN}@"),
    (re.compile(r"(/x/)[^/?\s\"']+"), rf"\1{HIDDEN}"),  # StatHat's export paths hold their token
)  # fmt: skip


def redact(text: str) -> str:
    """The text without the values of keys, tokens, passwords, signatures and session cookies."""
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text


class Redaction(logging.Filter):
    """Takes secrets out of a record before any formatter sees it: message, exception, stack and extra fields."""

    _formatter = logging.Formatter()

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redact(record.getMessage()), None
        if record.exc_info:
            record.exc_text = redact(self._formatter.formatException(record.exc_info))
        if record.stack_info:
            record.stack_info = redact(record.stack_info)
        for name, value in extras(record).items():
            setattr(record, name, redact(value) if isinstance(value, str) else value)
        return True


_ORDINARY = frozenset(logging.LogRecord("", 0, "", 0, "", None, None).__dict__) | {
    "message", "asctime", "taskName", "color_message"
}  # fmt: skip


def extras(record: logging.LogRecord) -> dict[str, Any]:
    """What was given as `extra=`."""
    return {name: value for name, value in record.__dict__.items() if name not in _ORDINARY}


class HumanFormatter(logging.Formatter):
    def __init__(self, process: str) -> None:
        super().__init__(f"%(asctime)s.%(msecs)03d %(levelname)-7s {process:<8} %(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        more = " ".join(f"{name}={value}" for name, value in extras(record).items())
        line = super().format(record)
        first, newline, rest = line.partition("\n")
        return f"{first} {more}".rstrip() + newline + rest


class JsonFormatter(logging.Formatter):
    def __init__(self, process: str) -> None:
        super().__init__()
        self.process = process

    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        row: dict[str, Any] = {
            "time": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "process": self.process,
            "logger": record.name,
            "message": record.getMessage(),
            **extras(record),
        }
        if record.exc_text:
            row["exception"] = record.exc_text
        return json.dumps(row, default=str)


def set_up(process: str, style: str, level: str) -> None:
    """Log to stderr for this process. `style` is human or json; an unknown one means human."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(Redaction())
    handler.setFormatter(JsonFormatter(process) if style == "json" else HumanFormatter(process))
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    logging.captureWarnings(True)
    for noisy in ("httpx", "httpcore", "asyncio", "uvicorn"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLogger().level))
