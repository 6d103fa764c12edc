"""The `ezstat` command. What a command needs is imported when it runs, so that `--help` is quick and the supervisor
small."""

import argparse
import json
import os
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from libs.runtime.attached import attached, connected
from libs.runtime.errors import CannotRun
from libs.runtime.folder import DataFolder
from libs.runtime.settings import Settings, load

Handler = Callable[[Settings, argparse.Namespace], None]


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point. Problems that the operator can solve end with a line on stderr and status 1."""
    arguments = parser().parse_args(argv)
    handler: Handler = arguments.handler
    try:
        handler(load(os.environ), arguments)
    except* CannotRun as errors:
        sys.exit("\n".join(f"ezstat: {error}" for error in _leaves(errors)))
    except* KeyboardInterrupt:
        sys.exit(130)


def parser() -> argparse.ArgumentParser:
    """All commands. What services add (`keys create`) is looked up only when it is asked for."""
    root = argparse.ArgumentParser(prog="ezstat", description="One place for a small team's numbers.")
    commands = root.add_subparsers(metavar="command", required=True)

    def command(name: str, handler: Handler, meaning: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=meaning, description=meaning[0].upper() + meaning[1:] + ".")
        added.set_defaults(handler=handler)
        return added

    command("up", _up, "run everything on this machine until Ctrl-C")

    serve = command("serve", _serve, "answer HTTP for some services, or for all")
    serve.add_argument("services", nargs="*")
    serve.add_argument("--workers", type=int, default=1, help="processes that share the port")
    serve.add_argument("--port", type=int, help="instead of PORT")
    serve.add_argument("--name", default="http-1", help=argparse.SUPPRESS)
    serve.add_argument("--fd", type=int, help=argparse.SUPPRESS)

    work = command("work", _work, "run followers and tasks of some services, or of all")
    work.add_argument("services", nargs="*")
    work.add_argument("--name", default="work-1", help=argparse.SUPPRESS)

    migrate = command("migrate", _migrate, "bring the database up to date; make what the environment asks for")
    migrate.add_argument("--json", action="store_true", help=argparse.SUPPRESS)

    ps = command("ps", _ps, "show the processes of the run in EZSTAT_DATA")
    ps.add_argument("--json", action="store_true")

    command("settings", _settings, "show every setting, its value and its meaning")
    command("doctor", _doctor, "look for what keeps EzStat from running here")

    gateway = command("gateway-config", _gateway_config, "print nginx configuration for services that run apart")
    gateway.add_argument("--listen", default="80", help="address and port, as nginx writes them (80)")
    gateway.add_argument(
        "--upstream", action="append", default=[], metavar="SERVICE=HOST:PORT[,HOST:PORT]",
        help="where a service is (SERVICE:8000); may be given for each",
    )  # fmt: skip

    command("openapi", _openapi, "print the OpenAPI document of all services")

    send = command("send", _send, "send one data point")
    send.add_argument("stat")
    send.add_argument("number", nargs="?", type=float, default=1.0, help="1 when left out")
    send.add_argument("--value", action="store_true", help="the number is a value, not a count")
    send.add_argument("--key", default="", help="instead of EZSTAT_API_KEY")

    replay = command("replay", _replay, "rebuild the read models of some services, or of all, from their events")
    replay.add_argument("services", nargs="*")

    parked = command("parked", _parked, "show messages that could not be handled, or have them tried again")
    parked.add_argument("--service", action="append", default=[], help="of this service alone; may be given again")
    parked.add_argument("--again", action="store_true", help="try these, or all, again")
    parked.add_argument("ids", nargs="*", type=int)

    for name, meaning in (
        ("keys", "make keys: ezstat keys create ..."),
        ("scrub", "clean archive and streams of what was deleted, now"),
        ("run", "another command of a service"),
    ):
        other = commands.add_parser(name, help=meaning, add_help=False)
        other.add_argument("words", nargs=argparse.REMAINDER)
        other.set_defaults(handler=_service_command, name=name)
    return root


def _leaves(group: BaseExceptionGroup[CannotRun]) -> list[BaseException]:
    leaves: list[BaseException] = []
    for error in group.exceptions:
        leaves += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return leaves


def _log(settings: Settings, name: str) -> None:
    from libs.runtime.logs import set_up

    set_up(name, settings.log_format, settings.log_level)


def _up(settings: Settings, arguments: argparse.Namespace) -> None:
    import asyncio

    from libs.runtime.up import up

    _log(settings, "ezstat")
    asyncio.run(up(settings, lambda text: print(text, flush=True)))


def _serve(settings: Settings, arguments: argparse.Namespace) -> None:
    if arguments.port is not None:
        settings = replace(settings, port=arguments.port)
    settings = connected(settings)
    _log(settings, arguments.name if arguments.workers == 1 else "ezstat")
    if arguments.workers > 1:
        _serve_workers(settings, arguments)
        return
    import uvloop

    from libs.runtime.catalogue import load_services
    from libs.runtime.programs import listen
    from libs.runtime.roles import serve

    listener = listen(settings.host, settings.port) if arguments.fd is None else socket.socket(fileno=arguments.fd)
    uvloop.run(serve(settings, load_services(arguments.services), listener, arguments.name))


def _serve_workers(settings: Settings, arguments: argparse.Namespace) -> None:
    import asyncio

    from libs.runtime.up import serve_workers

    asyncio.run(serve_workers(settings, arguments.services, arguments.workers))


def _work(settings: Settings, arguments: argparse.Namespace) -> None:
    import uvloop

    from libs.runtime.catalogue import load_services
    from libs.runtime.roles import work

    settings = connected(settings)
    _log(settings, arguments.name)
    uvloop.run(work(settings, load_services(arguments.services), arguments.name))


def _migrate(settings: Settings, arguments: argparse.Namespace) -> None:
    import uvloop

    from libs.runtime.catalogue import load_services
    from libs.runtime.setup import set_up

    settings = connected(settings)
    _log(settings, "migrate")
    welcome = uvloop.run(set_up(settings, load_services()))
    if arguments.json:
        print(json.dumps(welcome))
    else:
        print(*(text for text in welcome.values() if text), sep="\n")


def _ps(settings: Settings, arguments: argparse.Namespace) -> None:
    folder = DataFolder(settings.data)
    rows = [component.public() for component in folder.read().components] if folder.is_running() else []
    if arguments.json:
        print(json.dumps(rows))
    elif not rows:
        print(f"nothing runs in {folder.path}")
    else:
        print(f"{'NAME':<12}{'PID':>8}  {'ROLE':<8}{'RESTARTS':>8}  SINCE")
        for row in rows:
            print(f"{row['name']:<12}{row['pid'] or '-':>8}  {row['role']:<8}{row['restarts']:>8}  {row['since']}")


def _settings(settings: Settings, arguments: argparse.Namespace) -> None:
    for setting in fields(Settings):
        value: Any = getattr(settings, setting.name)
        if setting.metadata["secret"] and value:
            value = "(set)"
        elif isinstance(value, bool):
            value = "on" if value else "off"
        print(f"{setting.metadata['env']}={value}\n    {setting.metadata['meaning']}")


def _doctor(settings: Settings, arguments: argparse.Namespace) -> None:
    from libs.runtime.doctor import examine

    findings = examine(attached(settings))
    for finding in findings:
        print(f"{'ok  ' if finding.good else 'BAD '} {finding.about}: {finding.text}")
    sys.exit(0 if all(finding.good for finding in findings) else 1)


def _gateway_config(settings: Settings, arguments: argparse.Namespace) -> None:
    from libs.http.proxies import Proxies
    from libs.runtime.catalogue import load_services
    from libs.runtime.nginx import configuration

    text = configuration(
        load_services(),
        listen=arguments.listen,
        upstreams=dict(pair.split("=", 1) for pair in arguments.upstream),
        trusted=[str(network) for network in Proxies(settings.trusted_proxies).networks],
    )
    print(text, end="")


def _write_out(data: bytes) -> None:
    """All of it: with PYTHONUNBUFFERED, `print` drops what a pipe does not take at once."""
    sys.stdout.flush()
    left = memoryview(data + b"\n")
    while left:
        left = left[os.write(sys.stdout.fileno(), left) :]


def _openapi(settings: Settings, arguments: argparse.Namespace) -> None:
    import tempfile

    import uvloop

    from libs.runtime.catalogue import load_services
    from libs.runtime.roles import describe

    nobody = "127.0.0.1:9"
    with tempfile.TemporaryDirectory() as folder:
        apart = replace(
            settings,
            data=Path(folder),
            secret="none",  # noqa: S106  (nothing is kept)
            database_url=f"postgresql://{nobody}/none",
            nats_url=f"nats://{nobody}",
            redis_url=f"redis://{nobody}/0",
            log_level="error",
        )
        _log(apart, "openapi")
        _write_out(uvloop.run(describe(apart, load_services())))


def _send(settings: Settings, arguments: argparse.Namespace) -> None:
    from libs.runtime.send import send

    key = arguments.key or settings.api_key
    if not key:
        raise CannotRun("no key: give --key, or set EZSTAT_API_KEY")
    folder = DataFolder(settings.data)
    running = folder.read().urls.get("http", "") if folder.is_running() and not settings.public_url else ""
    print(send(running or settings.url, key, arguments.stat, arguments.number, is_value=arguments.value))


def _replay(settings: Settings, arguments: argparse.Namespace) -> None:
    from libs.runtime.catalogue import load_services

    services = [service for service in load_services(arguments.services) if "replay" in service.commands]
    for service in services:
        _run_command(settings, service.commands["replay"], [])


def _parked(settings: Settings, arguments: argparse.Namespace) -> None:
    from functools import partial

    from libs.runtime.catalogue import load_services
    from libs.runtime.parked import parked

    services = load_services(arguments.service)
    _run_command(settings, partial(parked, services=services, again=arguments.again, ids=arguments.ids))


def _service_command(settings: Settings, arguments: argparse.Namespace) -> None:
    from libs.runtime.catalogue import find_command

    words = [*([] if arguments.name == "run" else [arguments.name]), *arguments.words]
    command, rest = find_command(words)
    _run_command(settings, command, rest)


def _run_command(settings: Settings, command: Callable[..., Any], *words: Sequence[str]) -> None:
    import uvloop

    from libs.runtime.setup import run_command

    settings = connected(settings)
    _log(settings, "command")
    text = uvloop.run(run_command(settings, command, *words))
    if text:
        print(text)


if __name__ == "__main__":
    main()
