"""Both sides' books of a load test: what must be noticed, and what is explained."""

import unittest
from collections import Counter

from kit.agreement import Books, compare

LIST = ("GET", "/api/v1/events/", 200)


def summary(answered: dict[int, int], begun: int) -> dict:
    return {
        "answered": [{"method": "GET", "route": LIST[1], "status": s, "count": n} for s, n in answered.items()],
        "begun": [{"method": "GET", "route": LIST[1], "count": begun}],
        "requests": sum(answered.values()),
    }


def books(answered: dict[tuple[str, str, int], int], cancelled: int = 0) -> Books:
    return Books(Counter(answered), Counter({LIST[1]: cancelled}))


class Agreement(unittest.TestCase):
    def test_equal_books_agree(self) -> None:
        self.assertEqual(compare(summary({200: 5}, 5), books({LIST: 5})).findings, [])

    def test_an_answer_the_service_did_not_count_is_found(self) -> None:
        self.assertEqual(len(compare(summary({200: 5}, 5), books({LIST: 4})).findings), 1)

    def test_a_request_that_k6_did_not_send_is_found(self) -> None:
        self.assertEqual(len(compare(summary({200: 5}, 5), books({LIST: 6})).findings), 1)

    def test_a_request_of_another_route_is_found(self) -> None:
        other = ("GET", "/api/v1/users/me", 200)
        self.assertEqual(len(compare(summary({200: 5}, 5), books({LIST: 5, other: 1})).findings), 1)

    def test_another_status_is_found(self) -> None:
        other = (LIST[0], LIST[1], 304)
        self.assertTrue(compare(summary({200: 5}, 5), books({LIST: 4, other: 1})).findings)

    def test_a_status_that_the_script_does_not_list_is_found(self) -> None:
        counted = summary({200: 5}, 6) | {"requests": 6}
        self.assertTrue(compare(counted, books({LIST: 5})).findings)

    def test_unanswered_requests_are_explained_each_in_one_way(self) -> None:
        result = compare(summary({200: 5, 0: 1}, 9), books({LIST: 6}, cancelled=2))
        self.assertEqual(result.findings, [])
        explained = {"route": LIST[1], "unanswered": 4, "cancelled": 2, "unread": 1, "never_arrived": 1}
        self.assertEqual(result.unanswered, [explained])

    def test_more_given_up_on_the_server_than_went_unanswered_is_found(self) -> None:
        self.assertTrue(compare(summary({200: 5}, 5), books({LIST: 5}, cancelled=1)).findings)

    def test_books_are_read_from_the_exposition(self) -> None:
        text = (
            'http_server_request_duration_seconds_count{http_request_method="GET",http_route="/api/v1/events/{event_id}",'
            'http_response_status_code="200",error_type=""} 3\n'
            'http_server_request_duration_seconds_count{http_request_method="GET",http_route="/api/v1/events/{event_id}",'
            'http_response_status_code="200",error_type="x"} 2\n'
            'http_server_requests_cancelled_total{http_route="/docs/{*rest}"} 1\n'
        )
        read = Books.read(text)
        self.assertEqual(read.answered, Counter({("GET", "/api/v1/events/{event_id}", 200): 5}))
        self.assertEqual(read.cancelled, Counter({"/docs/{*rest}": 1}))


if __name__ == "__main__":
    unittest.main()
