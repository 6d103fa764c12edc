"""What is known of a request beside its scope, from its first byte to its last."""

from dataclasses import dataclass

from starlette.requests import HTTPConnection

from libs.http.limits import Allowance
from libs.http.principal import Principal
from libs.runtime.clock import Clock

SCOPE_KEY = "ezstat.exchange"


@dataclass(slots=True)
class Exchange:
    """`client` is the address as far as trusted proxies tell, `secure` whether the client spoke HTTPS.

    `content_type` is what the client said (a JSON body sent as text/plain is handed on as JSON). `principal` and
    `allowance` are set once the key is checked; `writes` when the key's write limit is what the answer tells about.
    """

    request_id: str
    client: str
    secure: bool
    content_type: str
    principal: Principal | None = None
    allowance: Allowance | None = None
    writes: bool = False

    def rate_headers(self, clock: Clock) -> list[tuple[bytes, bytes]]:
        """`X-RateLimit-*` and `RateLimit`; none for callers without limits."""
        if self.writes and self.principal is not None:
            lines = self.principal.bucket.headers(clock.monotonic()).splitlines()
            return [(name.lower(), value) for name, _, value in (line.partition(b": ") for line in lines)]
        if self.allowance is None:
            return []
        return [(name.lower().encode(), value.encode()) for name, value in self.allowance.headers(clock.now()).items()]


def exchange_of(connection: HTTPConnection) -> Exchange:
    """The exchange of a request that came through `make_app`."""
    exchange: Exchange = connection.scope[SCOPE_KEY]
    return exchange
