import socket

import pytest

from netdiffuse.common import InvalidValueError
from netdiffuse.common.addresses import check_free, check_url


def test_a_port_that_is_taken_and_one_that_is_not():
    check_free("127.0.0.1", 0)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InvalidValueError, match=rf"at 127.0.0.1, port {port} \(.*\): choose another --port"):
            check_free("127.0.0.1", port)
    check_free("127.0.0.1", port)


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid", "a..b"])
def test_a_host_that_is_not_here(host):
    with pytest.raises(InvalidValueError, match=rf"at {host}, port 18999 \(.*\): choose another --host"):
        check_free(host, 18999)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000", "https://edge", "HTTP://[::1]:80/behind/a/proxy"])
def test_addresses(url):
    check_url("--server", url)


@pytest.mark.parametrize(
    "url",
    ["", "127.0.0.1:8000", "localhost:8000", "edge", "//edge", "http://", "http://:80", "ftp://edge", "http://[::1",
     "http://edge:0", "http://edge:eighty", "http://edge:70000", "http://192.168.1.300:8000", "http://a..b:8000"],
)  # fmt: skip
def test_what_is_no_address(url):
    with pytest.raises(InvalidValueError, match=r"--server must be like http://127\.0\.0\.1:8000"):
        check_url("--server", url)
