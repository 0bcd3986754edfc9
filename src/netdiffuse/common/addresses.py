"""Addresses: where this machine may listen, and where another is asked."""

import errno
import ipaddress
import socket
from urllib.parse import urlsplit

from netdiffuse.common.errors import InvalidValueError


def check_free(host: str, port: int) -> None:
    """Refuse an address at which nothing can listen, before anything slow is done.

    Args:
        host: address to listen at.
        port: likewise, in [0, 65535]; 0 is any that is free.

    Raises:
        InvalidValueError: a port that is in use or not allowed, or a host that is none of this machine's.
    """
    try:
        family, kind, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:  # a name that nobody knows, or that is none
        raise InvalidValueError(_refusal(host, port, error, "--host")) from error
    try:
        with socket.socket(family, kind) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
            trial.bind(address)
    except OSError as error:
        option = "--host" if error.errno == errno.EADDRNOTAVAIL else "--port"
        raise InvalidValueError(_refusal(host, port, error, option)) from error


def _refusal(host: str, port: int, error: Exception, option: str) -> str:
    why = getattr(error, "strerror", None) or error
    return f"nothing can listen at {host}, port {port} ({why}): choose another {option}"


def check_url(name: str, url: str) -> None:
    """Refuse what is no address of a server, before it is asked again and again.

    Args:
        name: of the argument, for the message.
        url: the address.

    Raises:
        InvalidValueError: it does not begin with http:// or https://, or names no host or a port that is none.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        host.encode("idna")
        if host and set(host) <= set("0123456789."):
            ipaddress.IPv4Address(host)
        whole = parts.scheme in ("http", "https") and bool(host) and parts.port != 0
    except ValueError:  # a port that is no number, a name or an address that cannot be
        whole = False
    if not whole:
        raise InvalidValueError(f"{name} must be like http://127.0.0.1:8000, with http:// or https://, got {url!r}")
