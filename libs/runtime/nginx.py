"""nginx configuration out of the services' route table, for deployments where services run apart.

What is printed belongs into the `http` block (`/etc/nginx/conf.d/`).
"""

from collections.abc import Mapping, Sequence

from libs.http.dialects import dialect_of
from libs.http.errors import ApiError, BadRequest, HeadTooLarge, NotFound, RequestTimeout, TooLarge, Unavailable
from libs.runtime.gateway import KEY_PARAMETERS, Row, table
from libs.runtime.service import MEBIBYTE, Service

_HEAD = """\
# Made by `ezstat gateway-config` from the services' own route tables: change those, not this file.

# The service is chosen by the request line as sent: nginx's own idea of a path decodes %2F and folds dots.
map $http_authorization $ezstat_bearer {
    default "";
    "~*^Bearer +(?<ezstat_token>[^ ]+)" $ezstat_token;
}
"""

_LOGGING = """\
# Queries and some paths hold keys, and nginx writes whole request lines into its error log: neither is kept.
log_format ezstat '$remote_addr [$time_iso8601] "$request_method $ezstat_logged" $status $body_bytes_sent '
                  '$request_time to=$ezstat_service upstream=$upstream_status id=$upstream_http_x_request_id';
"""

_SERVER = """\
server {{
    listen {listen};
    server_name _;
    server_tokens off;
    merge_slashes off;
    absolute_redirect off;
    access_log /dev/stdout ezstat;
    error_log /dev/stderr emerg;

    client_header_timeout 5s;
    client_body_timeout 10s;
    client_header_buffer_size 4k;
    large_client_header_buffers 4 16k;
    client_max_body_size {body};
    keepalive_timeout 65s;
    send_timeout 30s;

    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto $ezstat_scheme;
    proxy_set_header X-Forwarded-Host $http_host;
    proxy_connect_timeout 3s;
    proxy_read_timeout 30s;
    proxy_next_upstream off;  # a point that is sent to a second server would be counted twice

{error_pages}
    location / {{
        proxy_pass http://$ezstat_service;
    }}
    location = /metrics {{
        return 404;
    }}
"""

# Ordinary locations, not named ones: nginx can't go to those for a request line that it could not read.
_REFUSAL = """\
    location = /.refused/{name} {{
        internal;
        default_type application/json;
        add_header X-Request-Id $request_id always;{more}
        return {status} $ezstat_{name};
    }}
"""

# nginx's statuses -> what the house says
_REFUSALS: dict[tuple[int, ...], ApiError] = {
    (400, 405, 414, 501): BadRequest(),
    (404,): NotFound(),
    (408,): RequestTimeout(),
    (413,): TooLarge(),
    (494,): HeadTooLarge(),
    (500, 502, 503, 504): Unavailable(),
}


def configuration(
    services: Sequence[Service],
    *,
    listen: str = "80",
    upstreams: Mapping[str, str] | None = None,
    trusted: Sequence[str] = (),
) -> str:
    """The whole text. `upstreams` says where services are (`host:port`, several with commas; else `<name>:8000`),
    `trusted` which networks a proxy in front of this one may have, whose word about HTTPS counts."""
    rows = table(services)
    names = dict.fromkeys(row.service for row in rows)
    parts = [_HEAD, _key_map(), _service_map(rows), _scheme_map(trusted), _logged_map(rows), _LOGGING]
    parts.append(_refusal_maps(rows))
    parts += [_upstream(name, (upstreams or {}).get(name, f"{name}:8000")) for name in names]
    parts += [
        _SERVER.format(listen=listen, body=MEBIBYTE, error_pages=_error_pages()),
        *_locations(rows),
        *_refusals(),
        "}\n",
    ]
    return "\n".join(parts)


def _key_map() -> str:
    in_query = "".join(f"$arg_{name}" for name in KEY_PARAMETERS)
    return f'map $ezstat_bearer $ezstat_key {{\n    "" "{in_query}";\n    default $ezstat_bearer;\n}}\n'


def _service_map(rows: Sequence[Row]) -> str:
    lines = [f'    "~{row.pattern}" {_upstream_name(row.service)};' for row in rows]
    fallback = _upstream_name(rows[-1].service)
    return "\n".join(['map "$ezstat_key $request_uri" $ezstat_service {', f"    default {fallback};", *lines, "}\n"])


def _scheme_map(trusted: Sequence[str]) -> str:
    networks = "".join(f"    {network} trusted;\n" for network in trusted)
    return (
        f'geo $ezstat_sender {{\n    default "";\n{networks}}}\n'
        'map "$ezstat_sender $http_x_forwarded_proto" $ezstat_scheme {\n    default $scheme;\n'
        '    "~*^trusted (?:.*[, ])?https$" https;\n    "~*^trusted (?:.*[, ])?http$" http;\n}\n'
    )


def _logged_map(rows: Sequence[Row]) -> str:
    lines = [f'    "~^{row.path_pattern}/" {row.route.path}/[redacted];' for row in rows if row.route.secret]
    plain = '    "~^(?<ezstat_path>[^?]*)" $ezstat_path;'
    return "\n".join(["map $request_uri $ezstat_logged {", '    default "-";', *lines, plain, "}\n"])


def _upstream_name(service: str) -> str:
    return f"ezstat_{service}"


def _upstream(service: str, addresses: str) -> str:
    servers = "".join(f"    server {address.strip()};\n" for address in addresses.split(","))
    # EzStat closes idle connections after 5 s; nginx must let go first, because it may not try a request twice.
    kept = "    keepalive 64;\n    keepalive_timeout 3s;\n"
    return f"upstream {_upstream_name(service)} {{\n{servers}{kept}}}\n"


def _refusal_maps(rows: Sequence[Row]) -> str:
    """What nginx answers by itself, in the dialect of the path."""
    return "\n".join(_refusal_map(error, rows) for error in _REFUSALS.values())


def _error_pages() -> str:
    pages = [(" ".join(map(str, statuses)), error.code) for statuses, error in _REFUSALS.items()]
    return "".join(f"    error_page {statuses} = /.refused/{code};\n" for statuses, code in pages)


def _refusal_map(error: ApiError, rows: Sequence[Row]) -> str:
    ordinary = dialect_of("/")
    lines = [f"    default {_quoted(ordinary.body(error))};"]
    for row in rows:
        dialect = dialect_of(row.route.path, f"{row.route.query}=")
        if dialect is ordinary and not row.route.exact:
            dialect = dialect_of(row.route.path.rstrip("/") + "/")
        if dialect is not ordinary:
            lines.append(f'    "~{row.pattern}" {_quoted(dialect.body(error))};')
    return "\n".join([f'map "$ezstat_key $request_uri" $ezstat_{error.code} {{', *lines, "}\n"])


def _refusals() -> list[str]:
    return [
        _REFUSAL.format(
            name=error.code,
            status=error.status,
            more="".join(f"\n        add_header {header} {value} always;" for header, value in error.headers.items()),
        )
        for error in _REFUSALS.values()
    ]


def _quoted(body: bytes) -> str:
    escaped = body.decode().replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _locations(rows: Sequence[Row]) -> list[str]:
    """Locations for paths that differ from the rest in size or buffering."""
    written = {}
    for row in rows:
        route = row.route
        if route.body == MEBIBYTE and not route.streams:
            continue
        lines = [f"        proxy_pass http://$ezstat_service;\n        client_max_body_size {route.body};\n"]
        if route.streams:
            lines.append(
                "        proxy_buffering off;\n        proxy_request_buffering off;\n"
                "        proxy_read_timeout 1h;\n        proxy_send_timeout 1h;\n"
            )
        for matcher in [f"= {route.path}"] if route.exact else [f"= {route.path}", f"^~ {route.path}/"]:
            written[matcher] = f"    location {matcher} {{\n{''.join(lines)}    }}\n"
    return list(written.values())
