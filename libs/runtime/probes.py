"""Asks a server whether it answers, in as few bytes as its protocol allows and without its client library, so that the
supervisor stays small. All of them wait at most a second and never raise."""

import http.client
import socket
import struct

_PATIENCE = 1.0
_PROTOCOL_3_0 = 196608


def postgres_answers(host: str, port: int) -> bool:
    """Does Postgres ask for a password? While it starts or stops, it answers with an error instead."""
    parameters = b"user\0ezstat\0database\0postgres\0\0"
    start = struct.pack("!ii", 8 + len(parameters), _PROTOCOL_3_0) + parameters
    return _first_bytes(host, port, start).startswith(b"R")


def redis_answers(host: str, port: int, password: str) -> bool:
    """Does Redis answer a PING?"""
    return b"+PONG" in _first_bytes(host, port, f"AUTH {password}\r\nPING\r\n".encode(), enough=b"PONG")


def http_status(host: str, port: int, path: str) -> int:
    """Status of a GET; 0 when nobody answers."""
    connection = http.client.HTTPConnection(host, port, timeout=_PATIENCE)
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def _first_bytes(host: str, port: int, question: bytes, enough: bytes = b"") -> bytes:
    answer = b""
    try:
        with socket.create_connection((host, port), timeout=_PATIENCE) as connection:
            connection.sendall(question)
            while chunk := connection.recv(1024):
                answer += chunk
                if enough in answer:
                    break
    except OSError:
        return b""
    return answer
