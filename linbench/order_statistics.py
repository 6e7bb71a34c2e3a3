"""Which order statistics hold a median: for the suite that decides when to stop, and the report that says so."""

from functools import lru_cache


@lru_cache(maxsize=1024)
def median_rank(n: int) -> int:
    """The k for which the k-th smallest and the k-th largest of n samples hold the median with 95 % or more.

    Exact and free of any distribution: the chance to miss is 2 P(Bin(n, ½) < k). 0 where not even the extremes
    suffice (n below 6).
    """
    limit = 2**n // 40  # 2.5 % of all outcomes
    term = below = 1
    rank = 0
    while below <= limit:
        rank += 1
        term = term * (n - rank + 1) // rank
        below += term
    return rank
