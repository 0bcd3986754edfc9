import pytest

from netdiffuse.common.http import retry_after_s


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("3", 3.0), ("0.3", 0.3), (" 2 ", 2.0), ("0", 0.0), ("-5", 0.0),
        (None, None), ("", None), ("soon", None), ("Wed, 21 Oct 2026 07:28:00 GMT", None),
        ("inf", None), ("-inf", None), ("nan", None), ("1e999", None),
    ],
)  # fmt: skip
def test_seconds_of_retry_after(header: str | None, seconds: float | None) -> None:
    assert retry_after_s(header) == seconds
