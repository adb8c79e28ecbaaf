"""The binary is really asked about the environments in `deploy/`: each case spoils one value in a real one."""

import unittest

from kit.checks_settings import check, compose, image, told, unit
from kit.paths import DEPLOY


class Settings(unittest.TestCase):
    def test_the_real_ones_are_taken(self) -> None:
        self.assertEqual(check(), [])

    def test_a_value_that_the_service_refuses_is_found(self) -> None:
        cases = {
            "CONVOKE_SHUTDOWN_GRACE": ("CONVOKE_SHUTDOWN_GRACE", "10"),
            "take the same port": ("CONVOKE_OPS_LISTEN", "0.0.0.0:8080"),
            "is not a setting and has no effect": ("CONVOKE_SHUTDOWN_GRAZE", "10s"),
            "OTEL_TRACES_SAMPLER": ("OTEL_TRACES_SAMPLER", "some"),
            "database.url": ("CONVOKE_DATABASE_URL", "mysql://db/convoke"),
            "it is not for production": ("CONVOKE_ENV", "development"),
        }
        for words, (name, value) in cases.items():
            with self.subTest(words):
                given = {**compose(DEPLOY), "CONVOKE_LISTEN": "127.0.0.1:8080", name: value}
                if name != "CONVOKE_OPS_LISTEN":
                    given["CONVOKE_OPS_LISTEN"] = "127.0.0.1:9464"
                found = list(told("x", given))
                self.assertTrue([one for one in found if words in one], found)

    def test_what_is_commented_out_is_looked_at(self) -> None:
        self.assertIn("CONVOKE_DATABASE_URL", unit(DEPLOY, optional=True))
        self.assertNotIn("CONVOKE_DATABASE_URL", unit(DEPLOY, optional=False))
        self.assertEqual(image(DEPLOY)["CONVOKE_DATA_DIR"], "/data")


if __name__ == "__main__":
    unittest.main()
