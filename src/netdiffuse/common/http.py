"""What HTTP headers say."""

import math


def retry_after_s(header: str | None) -> float | None:
    """Seconds that a Retry-After header (RFC 9110, section 10.2.3) asks to wait, at least 0.

    None where there is no header, or it names no number of seconds that can be waited: a date, NaN, infinity.
    """
    try:
        seconds = math.nan if header is None else float(header)
    except ValueError:
        return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None
