"""Posts JSON to a webhook: never to a cloud's own addresses, following no redirect, in bounded time."""

from __future__ import annotations

import http.client
import ipaddress
import json
import socket
import ssl
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from tracer import __version__
from tracer.errors import BadRequest

URL_LIMIT = 2_000
TIMEOUT_S = 5.0
"""For connecting, and for each wait after it."""

WHOLE_S = 10.0
"""After so long the connection is cut, however it goes."""

METADATA = frozenset(map(ipaddress.ip_address, ("fd00:ec2::254", "100.100.100.200", "192.0.0.192", "168.63.129.16")))
"""Where clouds tell a machine its secrets, beside the link-local addresses."""

NAT64 = ipaddress.ip_network("64:ff9b::/96")
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Answer:
    """How a delivery went, in words that hold nothing of the webhook's address or of what it said."""

    ok: bool
    words: str


def check_webhook(url: str, *, private: bool) -> str:
    """The address as it is kept; raises BadRequest for one that is never called. Names are looked up at the call."""
    url = url.strip()
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if parts.scheme not in ("http", "https") or not host or len(url) > URL_LIMIT or not url.isascii():
        raise BadRequest("A webhook is an address such as https://hooks.example.com/services/T0/B0.", field="url")
    if set(url) & set(" \\") or any(not 32 < ord(one) < 127 for one in url):
        raise BadRequest("The webhook's address has characters that an address cannot have.", field="url")
    if parts.username is not None or parts.password is not None:
        raise BadRequest("A webhook's address has no user name in it: put its secret into the path.", field="url")
    with suppress(ValueError):
        reason = refusal_of(ipaddress.ip_address(host.partition("%")[0]), private=private)
        if reason:
            raise BadRequest(f"The webhook's address is {reason}.", field="url")
    return url


def refusal_of(address: Address, *, private: bool) -> str | None:
    """Why nothing is sent to an address, in words; None where it may be. `private` networks are a setting."""
    if isinstance(address, ipaddress.IPv6Address):
        inside = address.ipv4_mapped or address.sixtofour
        if inside is None and address in NAT64:
            inside = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        if inside is not None:
            return refusal_of(inside, private=private)
    if address.is_link_local or address in METADATA:
        return "link-local or a cloud's own, which is never called"
    if address.is_multicast or address.is_unspecified or (address.is_reserved and not address.is_loopback):
        return "no address of one machine"
    if not address.is_global and not private:
        return "in a private network, which this server does not call (private_webhooks)"
    return None


class Refused(OSError):
    """The name leads to an address that is never called."""


def send(url: str, message: Mapping[str, object], *, private: bool) -> Answer:
    """Post a message and say how that went; any 2xx is an answer, a redirect is none. Takes WHOLE_S at the most."""
    parts = urlsplit(check_webhook(url, private=private))
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    secure = parts.scheme == "https"
    call = _Call(parts.hostname or "", parts.port or (443 if secure else 80), secure=secure, private=private)
    body = json.dumps(message, ensure_ascii=False, allow_nan=False).encode()
    headers = {"Content-Type": "application/json", "User-Agent": f"Stepscope/{__version__}", "Connection": "close"}
    timer = threading.Timer(WHOLE_S, call.cut)
    timer.daemon = True
    timer.start()
    try:
        call.request("POST", path, body, headers)
        with call.getresponse() as answer:
            status = answer.status
    except Refused as reason:
        return Answer(False, str(reason))
    except TimeoutError:
        return Answer(False, "no answer in time")
    except (OSError, http.client.HTTPException) as problem:
        return Answer(False, "no answer in time" if call.was_cut else _in_words(problem))
    finally:
        timer.cancel()
        call.close()
    redirect = ", a redirect, which is not followed" if 300 <= status < 400 else ""
    return Answer(200 <= status < 300, f"HTTP {status}{redirect}")


def _in_words(problem: Exception) -> str:
    if isinstance(problem, ssl.SSLCertVerificationError):
        return f"its certificate cannot be trusted: {problem.verify_message}"
    if isinstance(problem, ssl.SSLError):
        return "no TLS is spoken there"
    if isinstance(problem, socket.gaierror):
        return "its name is not known"
    if isinstance(problem, ConnectionRefusedError):
        return "the connection was refused"
    if isinstance(problem, http.client.HTTPException):
        return "what answered does not speak HTTP"
    reason = problem.strerror if isinstance(problem, OSError) else None
    return f"it could not be reached: {reason or type(problem).__name__}"[:200]


class _Call(http.client.HTTPConnection):
    """A connection to the address that was checked, whatever the name leads to a moment later."""

    def __init__(self, host: str, port: int, *, secure: bool, private: bool) -> None:
        super().__init__(host, port, timeout=TIMEOUT_S)
        self.default_port = 443 if secure else 80
        self._secure = secure
        self._private = private
        self.was_cut = False

    def connect(self) -> None:
        """Look the name up, check every address that it has, and connect to one of them."""
        found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        for *_, place in found:
            reason = refusal_of(ipaddress.ip_address(str(place[0]).partition("%")[0]), private=self._private)
            if reason:
                raise Refused(f"its address is {reason}")
        last: OSError = OSError("no address")
        for *_, place in found:
            try:
                raw = socket.create_connection((str(place[0]), self.port), timeout=TIMEOUT_S)
            except OSError as problem:
                last = problem
                if self.was_cut:
                    break
                continue
            self.sock = raw
            if self.was_cut:
                break
            if self._secure:
                import httpx  # 7 MB, for its certificates, which few webhooks ask for

                context = httpx.create_ssl_context(trust_env=False)
                self.sock = context.wrap_socket(raw, server_hostname=self.host, do_handshake_on_connect=False)
                self.sock.do_handshake()
            return
        raise last

    def cut(self) -> None:
        """End whatever it waits for. Callable from any thread."""
        self.was_cut = True
        waiting = self.sock
        if waiting is not None:
            with suppress(OSError):
                # Not the TLS one, which would say good-bye first.
                socket.socket.shutdown(waiting, socket.SHUT_RDWR)
