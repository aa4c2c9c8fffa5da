#!/usr/bin/env python3
"""A screen with the escape codes of `tmux capture-pane -e` (standard input) as an SVG (standard output)."""

import html
import re
import sys

WIDTH, HEIGHT, PAD = 8.43, 18, 14
BACK, FRONT = "#1e1e2e", "#d8dee9"
COLOURS = {30: "#1e1e2e", 31: "#f38ba8", 32: "#a6e3a1", 33: "#f9e2af", 34: "#89b4fa", 35: "#cba6f7", 36: "#89dceb",
           37: "#d8dee9", 90: "#8a90a6"}
# Colours by number, as 256-colour terminals get them.
NUMBERED = {0: 30, 1: 31, 2: 32, 3: 33, 4: 34, 5: 35, 6: 36, 7: 37, 8: 90, 9: 31, 10: 32, 11: 33, 15: 37}


def runs(line, style):
    """Pieces of a line that look the same: text, and how it looks."""
    for text, codes in re.findall(r"([^\x1b]+)|\x1b\[([0-9;]*)m", line):
        if text:
            yield text, dict(style)
            continue
        numbers = [int(n or 0) for n in codes.split(";")]
        while numbers:
            n = numbers.pop(0)
            if n == 0:
                style.clear()
            elif n in (38, 48) and numbers[:1] == [5]:
                style["fg" if n == 38 else "bg"] = COLOURS.get(NUMBERED.get(numbers[1]), FRONT)
                del numbers[:2]
            elif n == 1:
                style["bold"] = True
            elif n == 2:
                style["dim"] = True
            elif n == 7:
                style["reversed"] = True
            elif n in COLOURS:
                style["fg"] = COLOURS[n]
            elif n - 10 in COLOURS:
                style["bg"] = COLOURS[n - 10]
            elif n == 39:
                style.pop("fg", None)
            elif n == 49:
                style.pop("bg", None)


def main():
    lines = sys.stdin.read().rstrip("\n").split("\n")
    columns = max(len(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in lines)
    width, height = columns * WIDTH + 2 * PAD, len(lines) * HEIGHT + 2 * PAD
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" role="img" '
          f'aria-label="The screen of poolkeeper top"><rect width="100%" height="100%" rx="8" fill="{BACK}"/>'
          f'<g font-family="ui-monospace, Menlo, Consolas, monospace" font-size="14">')
    style = {}
    for row, line in enumerate(lines):
        column = 0
        for text, look in runs(line, style):
            front, back = look.get("fg", FRONT), look.get("bg")
            if look.get("reversed"):
                front, back = back or BACK, front
            x, y, length = PAD + column * WIDTH, PAD + row * HEIGHT, len(text) * WIDTH
            if back:
                print(f'<rect x="{x:.1f}" y="{y}" width="{length:.1f}" height="{HEIGHT}" fill="{back}"/>')
            if text.strip():
                extra = ' font-weight="bold"' if look.get("bold") else ""
                extra += ' opacity="0.6"' if look.get("dim") else ""
                print(f'<text x="{x:.1f}" y="{y + 13}" textLength="{length:.1f}" fill="{front}"{extra}>'
                      f'{html.escape(text).replace(" ", "&#160;")}</text>')
            column += len(text)
    print("</g></svg>")


main()
