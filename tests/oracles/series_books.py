"""Books of series, counted slowly from the list of all that happened: sets of numbers, and rules one after the other.

Knows nothing of the package. An event is (time, kind, series, number, bytes): kind is "start", "image", "bad" (an image
that does not fit), "end", "garbage", "abort", "stop" or "look" (nothing comes, but time went on).
"""

from __future__ import annotations

from dataclasses import dataclass, field

GRACE = 2.0
MOST_OPEN = 4


@dataclass
class Account:
    announced: int | None
    first_bytes: dict = field(default_factory=dict)
    duplicate: int = 0
    differing: int = 0
    foreign: int = 0
    second_ends: int = 0
    bad: set = field(default_factory=set)
    end_at: float | None = None
    told_to_stop: float | None = None
    last_at: float = 0.0
    open: bool = True
    frame_time: float = 0.0

    @property
    def numbers(self) -> set:
        return set(self.first_bytes)

    @property
    def expected(self) -> int | None:
        if not self.open and (self.announced is None or self.end_at is None or self.closed_unended):
            return max(self.numbers, default=-1) + 1
        if self.announced is None:
            return None
        return max(self.announced, max(self.numbers, default=-1) + 1)

    closed_unended: bool = False

    def missing(self) -> set:
        return set(range(self.expected or 0)) - self.numbers

    def close(self) -> None:
        self.open, self.closed_unended = False, self.end_at is None


def accounts(events: list) -> tuple[list, int]:
    """Account of each series that started, in the order of the starts, and the images that belong to none."""
    all_of_them: list = []
    newest: dict = {}
    waiting: dict = {}
    early_ends: dict = {}

    def close_due(now: float) -> None:
        for account in all_of_them:
            if not account.open:
                continue
            complete = account.announced is not None and len(account.numbers) >= account.expected
            quiet = now - account.last_at
            long_quiet = quiet >= max(GRACE, 20 * account.frame_time)
            ended = account.end_at is not None
            if (ended and (complete or quiet >= GRACE)) or (
                not ended and long_quiet and (complete or account.told_to_stop is not None)
            ):
                account.close()

    def image(account: Account, now: float, kind: str, number: int, content: int) -> None:
        if not account.open:
            account.foreign += 1
            return
        account.last_at = now
        if number in account.first_bytes:
            account.duplicate += 1
            account.differing += account.first_bytes[number] != content
            return
        account.first_bytes[number] = content
        if kind == "bad":
            account.bad.add(number)

    def end(account: Account, now: float) -> None:
        if account.open:
            account.last_at = now
        if account.end_at is not None:
            account.second_ends += 1
            return
        account.end_at = now
        if account.open and account.announced is not None and len(account.numbers) >= account.expected:
            account.close()

    for now, kind, series, number, content in events:
        if kind == "look":
            close_due(now)
        elif kind == "abort":
            for account in all_of_them:
                if account.open:
                    account.close()
        elif kind == "stop":
            for account in all_of_them:
                if account.open and account.told_to_stop is None:
                    account.told_to_stop = now
            close_due(now)
        elif kind == "start":
            account = newest.get(series)
            if account is not None and account.open:
                account.last_at = now
                if account.end_at is None:
                    continue  # it came twice
                account.close()
            for other in all_of_them:
                if other.open and other.told_to_stop is None:
                    other.told_to_stop = now
            still_open = [each for each in all_of_them if each.open]
            if len(still_open) >= MOST_OPEN:
                still_open[0].close()
            account = Account(number or None, last_at=now, frame_time=content)
            all_of_them.append(account)
            newest[series] = account
            for early in waiting.pop(series, []):
                image(account, now, *early)
            if early_ends.pop(series, False):
                end(account, now)
        elif kind in ("image", "bad"):
            if series in newest:
                account = newest[series]
                image(account, now, kind, number, content)
                ended = account.open and account.end_at is not None and account.announced is not None
                if ended and len(account.numbers) >= account.expected:
                    account.close()
            else:
                waiting.setdefault(series, []).append((kind, number, content))
        elif kind == "end" and series in newest:
            end(newest[series], now)
        elif kind == "end" and series in waiting:
            early_ends[series] = True
    return all_of_them, sum(map(len, waiting.values()))
