"""Renders what `tmux capture-pane -e -N -p` printed.

usage: render.py png SCREEN PNG COLUMNS ROWS     one screen
       render.py gif FOLDER GIF COLUMNS ROWS     all screens of a folder, each named by the
                                                 milliseconds after which it was on the screen
"""

import collections
import pathlib
import sys

import pyte
from PIL import Image, ImageDraw, ImageFont

FONT = "/usr/share/fonts/truetype/dejavu/DejaVuSansMono{}.ttf"
SIZE = 15
NAMES = {
    "black": "000000", "red": "cd3131", "green": "0dbc79", "brown": "e5e510", "blue": "2472c8",
    "magenta": "bc3fbc", "cyan": "11a8cd", "white": "e5e5e5", "brightblack": "666666",
    "brightred": "f14c4c", "brightgreen": "23d18b", "brightbrown": "f5f543",
    "brightblue": "3b8eea", "brightmagenta": "d670d6", "brightcyan": "29b8db",
    "brightwhite": "ffffff",
}
# The last picture of a recording stays for so long before it begins again, in milliseconds.
LAST = 4000


def colour(name: str, default: str) -> str:
    """`name` as pyte gives it: a name, six hexadecimal digits, or `default`."""
    return "#" + (default if name == "default" else NAMES.get(name, name))


def picture(text: str, columns: int, rows: int) -> Image.Image:
    """The screen that the text describes."""
    screen = pyte.Screen(columns, rows)
    pyte.Stream(screen).feed("\r\n".join(text.split("\n")[:rows]))
    fonts = {
        bold: ImageFont.truetype(FONT.format("-Bold" if bold else ""), SIZE)
        for bold in (False, True)
    }
    width, height = round(fonts[False].getlength("M")), SIZE + 5
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
    return image


def in_few_colours(frames: list[Image.Image]) -> list[Image.Image]:
    """The same with one palette for all: the colours that are there most, which are those of the
    theme and their way into the background. Nothing flickers, and a file has a third of the size.
    """
    seen: collections.Counter[tuple[int, int, int]] = collections.Counter()
    for frame in frames:
        for count, rgb in frame.getcolors(1 << 24):
            seen[rgb] += count
    palette = Image.new("P", (1, 1))
    palette.putpalette([part for rgb, _ in seen.most_common(256) for part in rgb])
    return [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]


def recording(folder: pathlib.Path, target: str, columns: int, rows: int) -> None:
    """An animated picture of the screens in their order and time."""
    files = sorted(folder.iterdir(), key=lambda file: int(file.name))
    times = [int(file.name) for file in files]
    lengths = [after - before for before, after in zip(times, times[1:])] + [LAST]
    frames = [picture(file.read_text(encoding="utf-8"), columns, rows) for file in files]
    frames = in_few_colours(frames)
    frames[0].save(
        target, save_all=True, append_images=frames[1:], duration=lengths, loop=0, optimize=True
    )


def main() -> None:
    kind, source, target, columns, rows = sys.argv[1:]
    if kind == "gif":
        recording(pathlib.Path(source), target, int(columns), int(rows))
    else:
        text = pathlib.Path(source).read_text(encoding="utf-8")
        [image] = in_few_colours([picture(text, int(columns), int(rows))])
        image.save(target, optimize=True)


if __name__ == "__main__":
    main()
