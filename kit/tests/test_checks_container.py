"""The checks of the image find what is wrong: each case spoils one thing in the real files."""

import unittest

from kit.checks_container import containerfile
from kit.paths import DEPLOY, ROOT

FILE = (DEPLOY / "Containerfile").read_text()
IGNORED = (ROOT / ".dockerignore").read_text()


class Container(unittest.TestCase):
    def test_the_real_one_is_right(self) -> None:
        self.assertEqual(list(containerfile(FILE, IGNORED)), [])

    def test_a_spoilt_one_is_found(self) -> None:
        cases = {
            "no number other than root's": ("USER 65532:65532", "USER 0:0"),
            "'nonroot' is no number": ("USER 65532:65532", "USER nonroot"),
            "does not belong to": ("--chown=65532:65532 ", ""),
            "it exposes": ("EXPOSE 8080 9464", "EXPOSE 8080"),
            "the volume is not": ("VOLUME /data", "VOLUME /var"),
            "own loopback": ("CONVOKE_LISTEN=0.0.0.0:", "CONVOKE_LISTEN=127.0.0.1:"),
            "is not pinned": ("/cc-debian12:nonroot", "/cc-debian12:latest"),
            "before the first FROM": ("ARG RUNTIME=", "ARG OTHER="),
            "is not the Rust": ("rust:1.95-", "rust:1.94-"),
            "--locked": (" --locked", ""),
            "is not told CONVOKE_REVISION": ('CONVOKE_REVISION="$CONVOKE_REVISION" cargo', "cargo"),
            "version is missing": ('org.opencontainers.image.version="0.1.0" \\', "\\"),
            "its version is not": ('version="0.1.0"', 'version="0.0.9"'),
            "need a shell": ('CMD ["serve"]', "CMD serve"),
            "there is no stage": ("COPY --from=build /convoke", "COPY --from=builder /convoke"),
            "is no instruction": ("VOLUME /data", "VOLUME /data\nSTOPSIGNAL SIGTERM"),
            "no HEALTHCHECK without a shell": ('CMD ["/usr/local/bin/convoke", "health"]', "CMD convoke health"),
            "is not `convoke health`": ('"/usr/local/bin/convoke", "health"', '"/usr/bin/curl", "health"'),
            "is given up before": ("--timeout=5s", "--timeout=4s"),
            "migrations is sent and not copied": ("COPY migrations migrations\n", ""),
        }
        for words, (before, after) in cases.items():
            with self.subTest(words):
                self.assertIn(before, FILE)
                found = list(containerfile(FILE.replace(before, after), IGNORED))
                self.assertTrue([text for text in found if words in text], found)

    def test_a_spoilt_list_of_what_is_sent_is_found(self) -> None:
        cases = {
            "refuse everything first": IGNORED.replace("*\n", ""),
            "src is copied and not sent": IGNORED.replace("!src\n", ""),
            "deploy is sent and not copied": IGNORED + "!deploy\n",
            "no-such does not exist": IGNORED + "!no-such\n",
        }
        for words, text in cases.items():
            with self.subTest(words):
                found = list(containerfile(FILE, text))
                self.assertTrue([one for one in found if words in one], found)


if __name__ == "__main__":
    unittest.main()
