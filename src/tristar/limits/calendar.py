"""Days and months, UTC, as numbers."""

from datetime import UTC, datetime, timedelta

DAY_S = 86_400


def month_of(day: int) -> int:
    """The month of a day that counts from the Unix epoch; months count from January of year 0."""
    date = datetime.fromtimestamp(day * DAY_S, UTC)
    return date.year * 12 + date.month - 1


def day_left_s(time_s: float) -> float:
    """Seconds until the day of this Unix time is over."""
    return DAY_S - time_s % DAY_S


def month_left_s(time_s: float) -> float:
    """Seconds until the month of this Unix time is over."""
    now = datetime.fromtimestamp(time_s, UTC)
    first = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return ((first + timedelta(days=32)).replace(day=1) - now).total_seconds()


class Periods:
    """Today and this month, as a wall clock says that may step."""

    __slots__ = ("day", "month", "since_s", "till_s")

    def __init__(self) -> None:
        self.day = -1
        self.month = 0
        self.since_s = self.till_s = 0
        """Within these Unix times `reach` changes nothing."""

    def reach(self, time_s: float) -> None:
        """Follow the clock to this Unix time.

        Back by a day at most it is not followed, so that no budget is given twice at midnight; a
        clock that was far ahead is corrected.
        """
        day = int(time_s // DAY_S)
        if day > self.day or day < self.day - 1:
            self.day = day
            self.month = month_of(day)
            self.since_s, self.till_s = (day - 1) * DAY_S, (day + 1) * DAY_S
