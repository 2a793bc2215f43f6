"""Text of strangers: names, labels, reasons and whatever else a file or a folder may say."""


def short(text: object, most: int = 160) -> str:
    """The first words on one line, without control characters: an error may quote a hostile file."""
    words = " ".join(str(text).split()) or type(text).__name__
    line = "".join(letter if letter.isprintable() else "?" for letter in words)
    return line if len(line) <= most else f"{line[: most - 3]}..."
