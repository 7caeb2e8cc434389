"""Text that came from elsewhere, made harmless for a log or a terminal."""


def one_line(text: str) -> str:
    r"""The text with everything escaped that is not printed as itself: `\n`, `\x1b`, `\u2028`, `\u202e`."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)


def many_lines(text: str) -> str:
    """As `one_line`, but what was parted by newlines stays parted."""
    return "\n".join(one_line(line) for line in text.replace("\r\n", "\n").split("\n"))
