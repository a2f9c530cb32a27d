"""Bars with their intervals, as SVG that reads well on light and on dark pages."""
from html import escape

LABEL, PLOT, BAR, GAP = 300, 420, 11, 9  #: widths and heights in pixels
COLOURS = ("#0072b2", "#d55e00", "#009e73")  #: told apart by colour-blind eyes too (Okabe and Ito)
TEXT = "#767676"


def bars(groups: list[tuple[str, dict[str, dict]]]) -> str:
    """A group of bars for each label: series -> its mean, low and high, from 0 to 1."""
    series = list(groups[0][1])
    height = 34 + sum(len(found) * BAR + GAP for _, found in groups) + 18
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LABEL + PLOT + 60} {height}" font-family="sans-serif" font-size="11" fill="{TEXT}">']
    for number, name in enumerate(series):
        at = LABEL + 130 * number
        parts.append(f'<rect x="{at}" y="4" width="10" height="10" fill="{COLOURS[number]}"/><text x="{at + 15}" y="13">{escape(name)}</text>')
    for percent in range(0, 101, 25):
        x = LABEL + PLOT * percent / 100
        parts.append(f'<path d="M{x} 24V{height - 18}" stroke="{TEXT}" stroke-opacity=".3"/><text x="{x}" y="{height - 5}" text-anchor="middle">{percent} %</text>')
    y = 30
    for label, found in groups:
        parts.append(f'<text x="{LABEL - 8}" y="{y + len(found) * BAR / 2 + 4}" text-anchor="end">{escape(label)}</text>')
        for number, interval in enumerate(found.values()):
            low, mean, high = (LABEL + PLOT * interval[key] for key in ("low", "mean", "high"))
            middle = y + BAR / 2
            parts.append(f'<rect x="{LABEL}" y="{y + 1}" width="{mean - LABEL:.1f}" height="{BAR - 2}" fill="{COLOURS[number]}" fill-opacity=".75"/>')
            parts.append(f'<path d="M{low:.1f} {middle}H{high:.1f}M{low:.1f} {middle - 3}v6M{high:.1f} {middle - 3}v6" stroke="{TEXT}" fill="none"/>')
            parts.append(f'<text x="{high + 5:.1f}" y="{middle + 4}">{100 * interval["mean"]:.0f}</text>')
            y += BAR
        y += GAP
    return "\n".join([*parts, "</svg>"]) + "\n"
