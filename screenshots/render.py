"""Renders what `tmux capture-pane -e -p` printed as a PNG.

usage: render.py SCREEN PNG COLUMNS ROWS
"""

import sys

import pyte
from PIL import Image, ImageDraw, ImageFont

FONT = "/usr/share/fonts/truetype/dejavu/DejaVuSansMono{}.ttf"
NAMES = {
    "black": "000000", "red": "cd3131", "green": "0dbc79", "brown": "e5e510", "blue": "2472c8",
    "magenta": "bc3fbc", "cyan": "11a8cd", "white": "e5e5e5", "brightblack": "666666",
    "brightred": "f14c4c", "brightgreen": "23d18b", "brightbrown": "f5f543",
    "brightblue": "3b8eea", "brightmagenta": "d670d6", "brightcyan": "29b8db",
    "brightwhite": "ffffff",
}


def colour(name: str, default: str) -> str:
    """`name` as pyte gives it: a name, six hexadecimal digits, or `default`."""
    return "#" + (default if name == "default" else NAMES.get(name, name))


def main() -> None:
    source, target, columns, rows = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    screen = pyte.Screen(columns, rows)
    with open(source, encoding="utf-8") as file:
        lines = file.read().split("\n")[:rows]
    pyte.Stream(screen).feed("\r\n".join(lines))
    size = 15
    fonts = {bold: ImageFont.truetype(FONT.format("-Bold" if bold else ""), size) for bold in (False, True)}
    width, height = round(fonts[False].getlength("M")), size + 5
    image = Image.new("RGB", (columns * width, rows * height), "#14181f")
    draw = ImageDraw.Draw(image)
    for y in range(rows):
        for x in range(columns):
            cell = screen.buffer[y][x]
            fore, back = colour(cell.fg, "d5dae3"), colour(cell.bg, "14181f")
            if cell.reverse:
                fore, back = back, fore
            left, top = x * width, y * height
            draw.rectangle((left, top, left + width - 1, top + height - 1), fill=back)
            if cell.data.strip():
                draw.text((left, top + 1), cell.data, font=fonts[cell.bold], fill=fore)
            if cell.underscore:
                draw.line((left, top + height - 3, left + width - 1, top + height - 3), fill=fore)
    image.save(target, optimize=True)


if __name__ == "__main__":
    main()
