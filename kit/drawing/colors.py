"""Grafana's named colors in the dark theme, and what a value's threshold says."""

NAMED = {
    "red": "#F2495C",
    "dark-red": "#C4162A",
    "orange": "#FF9830",
    "light-orange": "#FFB357",
    "yellow": "#FADE2A",
    "light-yellow": "#FFEE52",
    "green": "#73BF69",
    "dark-green": "#37872D",
    "semi-dark-green": "#56A64B",
    "blue": "#5794F2",
    "purple": "#B877D9",
    "text": "#CCCCDC",
    "transparent": "#22252b",
}
PALETTE = [
    *("#73BF69", "#F2CC0C", "#8AB8FF", "#FF780A", "#F2495C", "#5794F2", "#B877D9", "#705DA0", "#37872D", "#FADE2A"),
    *("#447EBC", "#C15C17", "#890F02", "#6ED0E0", "#6D1F62", "#E0B400", "#96D98D", "#FFB357", "#CA95E5", "#C0D8FF"),
]
ORANGES = [(24, 27, 31), (90, 45, 15), (166, 68, 8), (230, 100, 20), (253, 150, 70), (254, 200, 140), (255, 240, 222)]


def named(color: str) -> str:
    """A color's code."""
    return NAMED.get(color, color)


def series(index: int) -> str:
    """The color of a panel's series without one of its own."""
    return PALETTE[index % len(PALETTE)]


def of_value(value: float, steps: list[dict]) -> str:
    """The color of the last threshold that a value reaches."""
    color = steps[0]["color"]
    for step in steps[1:]:
        if value >= step["value"]:
            color = step["color"]
    return named(color)


def heat(share: float) -> str:
    """A cell's color, from 0 (dark) to 1 (bright)."""
    place = max(0.0, min(1.0, share)) * (len(ORANGES) - 1)
    index = min(int(place), len(ORANGES) - 2)
    low, high, part = ORANGES[index], ORANGES[index + 1], place - index
    mixed = (round(a + (b - a) * part) for a, b in zip(low, high, strict=True))
    return "#" + "".join(f"{one:02x}" for one in mixed)
