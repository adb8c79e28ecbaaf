"""The checks of systemd's unit and of the proxies find what is wrong: each case spoils one thing in the real files."""

import tempfile
import unittest
from collections.abc import Callable, Iterator
from pathlib import Path

from kit.checks_host import adapted, caddy, nginx, nginx_itself, systemd, unit
from kit.paths import DEPLOY
from kit.tools import RefusedError

UNIT = (DEPLOY / "systemd/convoke.service").read_text()
NGINX = (DEPLOY / "nginx.conf").read_text()
CADDY = (DEPLOY / "Caddyfile").read_text()


def of_unit(text: str) -> Iterator[str]:
    """The unit with the example of its settings."""
    return unit(text, DEPLOY / "systemd")


def of_caddy(text: str) -> Iterator[str]:
    """A Caddyfile as Caddy reads it."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "Caddyfile"
        path.write_text(text)
        return caddy(adapted(path))


class Host(unittest.TestCase):
    def spoil(self, check: Callable[[str], Iterator[str]], text: str, cases: dict[str, tuple[str, str]]) -> None:
        self.assertEqual(list(check(text)), [])
        for words, (before, after) in cases.items():
            with self.subTest(words):
                self.assertIn(before, text)
                found = list(check(text.replace(before, after)))
                self.assertTrue([one for one in found if words in one], found)

    def test_a_unit_that_does_not_fit_the_service_is_found(self) -> None:
        cases = {
            "TimeoutStopSec": ("TimeoutStopSec=60s", "TimeoutStopSec=40s"),
            "is not the StateDirectory": ("StateDirectory=convoke", "StateDirectory=other"),
            "LimitNOFILE": ("LimitNOFILE=16384", "LimitNOFILE=1024"),
            "in production": ("CONVOKE_ENV=production", "CONVOKE_ENV=development"),
            "not told when it is ready": ("Type=notify", "Type=exec"),
            "when it hangs": ("WatchdogSec=60s\n", ""),
            "has no example": ("/etc/convoke/convoke.env", "/etc/convoke/other.env"),
        }
        self.spoil(of_unit, UNIT, cases)

    def test_what_systemd_does_not_like_is_found(self) -> None:
        cases = {
            "ProtectMoon": ("ProtectHome=yes", "ProtectMoon=yes"),
            "StateDirectory": ("StateDirectory=convoke", "StateDirectory=/convoke"),
            "its exposure is": ("CapabilityBoundingSet=\n", "CapabilityBoundingSet=~\nUser=root\nDynamicUser=no\n"),
        }
        self.spoil(systemd, UNIT, cases)

    def test_an_nginx_that_does_not_fit_the_service_is_found(self) -> None:
        cases = {
            "is not CONVOKE_LISTEN": ("server 127.0.0.1:8080", "server 127.0.0.1:8081"),
            "longer than Convoke": ("    keepalive_timeout 1s;\n}", "    keepalive_timeout 2s;\n}"),
            "sets a replica aside": (" max_fails=0", ""),
            "the largest body": ("client_max_body_size 1m", "client_max_body_size 2m"),
            "answered as Convoke does": ('"code":"body_too_large"', '"code":"too_large"'),
            "attachments do not pass": ("proxy_request_buffering off;", ""),
            "proxy_read_timeout ends": ("proxy_read_timeout 15s", "proxy_read_timeout 10s"),
            "in Forwarded goes through": ('proxy_set_header Forwarded "";', ""),
            "in X-Forwarded-For goes": ("X-Forwarded-For $remote_addr", "X-Forwarded-For $proxy_add_x_forwarded_for"),
            "in X-Forwarded-Proto goes": ("X-Forwarded-Proto $scheme", "X-Forwarded-Proto $http_x_forwarded_proto"),
            "no connection": ('Connection ""', "Connection close"),
            "the ops listener": ("proxy_pass http://convoke;", "proxy_pass http://127.0.0.1:9464;"),
        }
        self.spoil(nginx, NGINX, cases)

    def test_what_nginx_refuses_is_found(self) -> None:
        cases = {
            "unknown directive": ("keepalive 64", "keep_alive 64"),
            "cannot load certificate": ("ssl_certificate /etc", "ssl_certificate  /etc"),
        }
        self.spoil(nginx_itself, NGINX, cases)

    def test_a_caddy_that_does_not_fit_the_service_is_found(self) -> None:
        cases = {
            "is not CONVOKE_LISTEN": ("127.0.0.1:8080", "127.0.0.1:8081"),
            "Forwarded goes through": ("header_up -Forwarded", "header_up -Other"),
            "the largest body": ("max_size 1MiB", "max_size 2MiB"),
            "body is not CONVOKE_BODY_LIMIT": ("> 1048576", "> 2097152"),
            "attachments do not pass": ("request_body @bodies", "request_body"),
            "answered as Convoke does": ('"code":"body_too_large"', '"code":"too_large"'),
            "response_header_timeout": ("response_header_timeout 15s", "response_header_timeout 5s"),
            "longer than Convoke": ("keepalive 1s", "keepalive 2s"),
            "a slow client": ("read_header 10s", "write 10s"),
            "the ops listener": ("reverse_proxy 127.0.0.1:8080", "reverse_proxy 127.0.0.1:9464"),
        }
        self.spoil(of_caddy, CADDY, cases)

    def test_what_caddy_refuses_is_found(self) -> None:
        with self.assertRaises(RefusedError):
            of_caddy(CADDY.replace("reverse_proxy", "reverse_proxies"))


if __name__ == "__main__":
    unittest.main()
