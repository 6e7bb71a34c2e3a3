"""What hostile pickles call: a reader that runs it has executed code of a file."""

sprung: list[str] = []


def spring(*args: object, **names: object) -> "Bait":
    """Note the call."""
    sprung.append(f"bait.spring was called with {args!r:.80}")
    return Bait()


class Bait:
    """Notes its birth, its state and every other way in which an unpickler may call it."""

    def __new__(cls, *args: object) -> "Bait":
        sprung.append("bait.Bait was made")
        return super().__new__(cls)

    def __setstate__(self, state: object) -> None:
        sprung.append("Bait.__setstate__ was called")

    def append(self, value: object) -> None:
        sprung.append("Bait.append was called")

    def extend(self, values: object) -> None:
        sprung.append("Bait.extend was called")

    def __setitem__(self, name: object, value: object) -> None:
        sprung.append("Bait.__setitem__ was called")
