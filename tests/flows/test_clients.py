"""Clients made for StatHat, of which nothing is changed but the host: they report success, and the totals are right."""

import importlib.metadata
import re
import shutil
import socket
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.eventually import until
from tests.flows.totals import summary
from tests.needs import missing, program
from tests.running import Ezstat, Person
from tests.wire import Connection

OLD_PYTHON = Path(__file__).with_name("old_python")
OK_EZ = b'{"status":200,"msg":"ok"}'
REGISTRY_PATIENCE = 60


@pytest.fixture(scope="module")
def person(ezstat: Ezstat) -> Person:
    return ezstat.sign_up()


@pytest.fixture(scope="module")
def key(person: Person) -> str:
    return person.key()


def run(*argv: str | Path, folder: Path) -> str:
    """What a program prints; it fails the test when it fails."""
    ran = subprocess.run(argv, capture_output=True, text=True, timeout=60, cwd=folder)
    assert ran.returncode == 0, ran.stderr[-3000:]
    return ran.stdout


def fetched(*argv: str, into: Path, environ: dict[str, str] | None = None) -> Path:
    """The archive that a registry's own client downloads; the test is skipped when the registry is away."""
    try:
        subprocess.run(argv, cwd=into, env=environ, check=True, capture_output=True, timeout=REGISTRY_PATIENCE)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        missing(f"{argv[0]} could not fetch it: {(error.stderr or b'')[-200:]!r}")
    (archive,) = (path for path in into.iterdir() if path.name.endswith(("tgz", "tar.gz")))
    with tarfile.open(archive) as tar:
        tar.extractall(into, filter="data")
    return archive


# python-stathat

PYTHON_STATHAT = """
import stathat
assert stathat.ez_count(%(key)r, "py ez", 2)
assert stathat.ez_value(%(key)r, "py ez value", 42.5)
assert stathat.classic_count(%(key)r, "py classic")
assert stathat.classic_value(%(key)r, "py classic value", 7)
assert stathat.StatHatEZ(%(key)r, "py ez").tick()
try:
    stathat.ez_count("no-such-key", "py ez")
except stathat.StatHatError:
    print("refused")
"""


def python_stathat() -> str:
    """The source of the installed package."""
    (found,) = (file for file in importlib.metadata.files("python-stathat") or () if file.name == "stathat.py")
    return found.read_text()


def in_python_3(source: str) -> str:
    """The two things of Python 2 that today's parser does not read; the modules of that time are stood in for."""
    return re.sub(r"except ([\w.]+), e:", r"except \1 as e:", re.sub(r"\basync\b", "async_", source))


def interpreters() -> list[str]:
    """This Python, and a Python 2 if there is one that works."""
    old = shutil.which("python2.7")
    works = old is not None and subprocess.run([old, "-c", ""], capture_output=True).returncode == 0
    return [sys.executable, old] if old is not None and works else [sys.executable]


@pytest.mark.parametrize("python", interpreters(), ids=lambda path: Path(path).name)
def test_python_stathat(ezstat: Ezstat, person: Person, tmp_path: Path, python: str) -> None:
    source = python_stathat().replace("https://api.stathat.com", ezstat.url)
    if python == sys.executable:
        source = in_python_3(source)
        shutil.copy(OLD_PYTHON / "urllib2.py", tmp_path)
    (tmp_path / "stathat.py").write_text(source)
    owner = ezstat.sign_up()
    (tmp_path / "sending.py").write_text(PYTHON_STATHAT % {"key": str(owner.key())})
    # Python 2 answers the refusal's 401 with an HTTPError, which is the same news.
    assert "refused" in run(python, "sending.py", folder=tmp_path)
    assert summary(owner, "py ez", 2)["total"] == 3
    assert summary(owner, "py ez value")["mean"] == 42.5
    assert summary(owner, "py classic")["total"] == 1
    assert summary(owner, "py classic value")["mean"] == 7


# stathat of PyPI

PYPI_STATHAT = """
from stathat import StatHat
client = StatHat(%(key)r)
assert client.count("wtfs/minute", 10)
assert client.count("connections.active", 85092)
assert client.value("load", 0.25)
assert not StatHat("no-such-key").count("load", 1)
"""


def test_the_stathat_of_pypi(ezstat: Ezstat, person: Person, key: str, tmp_path: Path) -> None:
    """Its set-up is older than today's build tools, so these are held back for the download."""
    (tmp_path / "constraints").write_text("setuptools<58\n")
    pip = (sys.executable, "-m", "pip", "download", "--no-binary", "stathat", "--no-deps", "--quiet", "stathat==0.0.2")
    fetched(*pip, into=tmp_path, environ={**_environ(), "PIP_CONSTRAINT": str(tmp_path / "constraints")})
    (folder,) = tmp_path.glob("stathat-*/")
    source = (folder / "stathat.py").read_text()
    (folder / "stathat.py").write_text(source.replace("http://api.stathat.com", ezstat.url))
    shutil.copy(OLD_PYTHON / "requests.py", folder)
    (folder / "sending.py").write_text(PYPI_STATHAT % {"key": key})
    run(sys.executable, "sending.py", folder=folder)
    assert summary(person, "wtfs/minute")["total"] == 10
    assert summary(person, "connections.active")["total"] == 85_092
    assert summary(person, "load")["mean"] == 0.25


def _environ() -> dict[str, str]:
    import os

    return dict(os.environ)


# stathat of npm

NPM_STATHAT = """
const stathat = require("./package/main.js");
const key = process.argv[2];
const told = (status, body) => console.log(status, String(body));
stathat.trackEZCount(key, "npm ez", 3, told);
stathat.trackEZValue(key, "npm ez value", 42.5, told);
stathat.trackEZCountWithTime(key, "npm timed", 1, 1711929600, told);
stathat.trackCount(key, "npm classic", 2, told);
stathat.trackValue(key, "npm classic value", 7, told);
"""


def test_the_stathat_of_npm(ezstat: Ezstat, person: Person, key: str, tmp_path: Path) -> None:
    """It sends what it is given without escaping."""
    node, npm = program("node", "nodejs"), program("npm")
    fetched(npm, "pack", "stathat@0.0.8", "--silent", into=tmp_path)
    main = tmp_path / "package" / "main.js"
    source = main.read_text()
    assert "hostname: 'api.stathat.com'," in source
    main.write_text(source.replace("'api.stathat.com',", f"'127.0.0.1', port: {ezstat.port},"))
    (tmp_path / "sending.js").write_text(NPM_STATHAT)
    assert run(node, "sending.js", key, folder=tmp_path).splitlines() == [f"200 {OK_EZ.decode()}"] * 5
    assert summary(person, "npm ez")["total"] == 3
    assert summary(person, "npm ez value")["mean"] == 42.5
    assert summary(person, "npm timed")["total"] == 1
    assert summary(person, "npm classic")["total"] == 2
    assert summary(person, "npm classic value")["mean"] == 7


# Odd ones, byte by byte

FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"


def form(body: bytes, *, first: bytes = b"POST /ez HTTP/1.1", lines: bytes = FORM, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return first + b"\r\nHost: x\r\n" + lines + b"Content-Length: %d\r\n\r\n" % size + body


def test_a_client_that_writes_and_closes_without_reading(ezstat: Ezstat, person: Person, key: str) -> None:
    for i in range(20):
        with socket.create_connection(("127.0.0.1", ezstat.port)) as sender:
            sender.sendall(form(f"ezkey={key}&stat=written and closed&count={4**i}".encode()))
    assert summary(person, "written and closed", 20)["total"] == sum(4**i for i in range(20))


@pytest.mark.parametrize("route", ["hot", "ordinary"])
def test_a_client_that_resets_the_connection(ezstat: Ezstat, person: Person, key: str, route: str) -> None:
    """Closing with an answer unread sends a reset."""
    name = f"reset {route}"
    lines = FORM if route == "hot" else FORM + b"Content-Encoding: identity\r\n"
    for _ in range(10):
        with socket.create_connection(("127.0.0.1", ezstat.port)) as sender:
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            sender.sendall(form(f"ezkey={key}&stat={name}&count=1".encode(), lines=lines))
            sender.shutdown(socket.SHUT_WR)
            sender.recv(1)
    assert summary(person, name, 10)["total"] == 10


@pytest.mark.parametrize("keep_alive", [False, True])
def test_http_1_0(ezstat: Ezstat, person: Person, key: str, keep_alive: bool) -> None:
    name = f"old http {keep_alive}"
    lines = FORM + (b"Connection: keep-alive\r\n" if keep_alive else b"")
    with Connection(ezstat.port) as connection:
        connection.send(form(f"ezkey={key}&stat={name}".encode(), first=b"POST /ez HTTP/1.0", lines=lines))
        reply = connection.reply()
        assert reply is not None
        assert (reply.status, reply.body) == (200, OK_EZ)
        assert connection.ended
    assert summary(person, name)["total"] == 1


def test_http_1_0_without_a_host(ezstat: Ezstat, person: Person, key: str) -> None:
    with Connection(ezstat.port) as connection:
        connection.send(f"GET /c?ukey={key}&key=hostless&count=2 HTTP/1.0\r\n\r\n".encode())
        reply = connection.reply()
        assert reply is not None
        assert reply.headers["content-type"] == "image/gif"
    assert summary(person, "hostless")["total"] == 2


def test_expect_100_continue(ezstat: Ezstat, person: Person, key: str) -> None:
    whole = form(f"ezkey={key}&stat=expected&count=1".encode(), lines=FORM + b"Expect: 100-continue\r\n")
    head, _, body = whole.partition(b"\r\n\r\n")
    with Connection(ezstat.port) as connection:
        connection.send(head + b"\r\n\r\n")
        assert connection.socket.recv(1024).startswith(b"HTTP/1.1 100 ")
        connection.send(body)
        reply = connection.reply()
        assert reply is not None
        assert reply.body == OK_EZ
    assert summary(person, "expected")["total"] == 1


def sent(ezstat: Ezstat, request: bytes) -> Any:
    """Status and body of the answer to some bytes."""
    with Connection(ezstat.port) as connection:
        connection.send(request)
        reply = connection.reply()
    assert reply is not None
    return reply.status, reply.body


@pytest.mark.parametrize(
    "name",
    ["raw spaces in it", "größe 😀", "100% sure", "50%off", "a/b?c", 'say "hi" <b>', "semi;colon", "back\\slash"],
)
def test_forms_that_nobody_escaped(ezstat: Ezstat, person: Person, key: str, name: str) -> None:
    assert sent(ezstat, form(f"ezkey={key}&stat={name}&count=1".encode())) == (200, OK_EZ)
    assert summary(person, name)["total"] == 1


def test_a_length_in_characters(ezstat: Ezstat, person: Person, key: str) -> None:
    """The name has one byte more than characters, so the last digit is cut off; the next request is not for us."""
    text = f"ezkey={key}&stat=größe in zeichen&count=12"
    assert sent(ezstat, form(text.encode(), length=len(text.encode()) - 1)) == (200, OK_EZ)
    assert summary(person, "größe in zeichen")["total"] == 1


@pytest.mark.parametrize(
    ("count", "total"), [("1e+06", 1e6), ("1.0", 1), ("0", 0), ("-3", -3), ("+4", 4), ("1E3", 1e3)]
)
def test_numbers_as_clients_print_them(ezstat: Ezstat, person: Person, key: str, count: str, total: float) -> None:
    """Go's %v of a million, Java's double, statsd's zeros. A raw plus sign means a space in a form."""
    name = f"printed {count}"
    escaped = name.replace("+", "%2B")
    assert sent(ezstat, form(f"ezkey={key}&stat={escaped}&count={count}".encode())) == (200, OK_EZ)
    assert summary(person, name)["total"] == total


def test_a_decimal_comma_is_refused(ezstat: Ezstat, person: Person, key: str) -> None:
    status, body = sent(ezstat, form(f"ezkey={key}&stat=comma&value=1,5".encode()))
    assert status == 400
    assert b'"status":400' in body
    assert person.client.get("/api/v1/stats/comma").status_code == 404


def test_t_null_is_now(ezstat: Ezstat, person: Person, key: str) -> None:
    body = f'{{"ezkey":"{key}","data":[{{"stat":"t null","count":1,"t":null}}]}}'.encode()
    lines = b"Content-Type: application/json\r\n"
    assert sent(ezstat, form(body, lines=lines)) == (200, b'{"status":200,"msg":"ok","multiple":1}')
    assert summary(person, "t null")["total"] == 1

    def recent() -> Any:
        answer = person.client.get("/api/v1/stats/t%20null", params={"range": "1h"})
        return answer.json()["summary"]["n"] == 1

    until(recent)


def test_java_offers_http_2_with_its_post(ezstat: Ezstat, person: Person, key: str) -> None:
    """The offer is ignored and the body is read."""
    lines = FORM + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\n"
    assert sent(ezstat, form(f"ezkey={key}&stat=java&count=1.0".encode(), lines=lines)) == (200, OK_EZ)
    assert summary(person, "java")["total"] == 1
