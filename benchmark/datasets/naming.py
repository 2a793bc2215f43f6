"""The names of data sets: a manifest's name or a path, and options after colons."""


def split_name(name: str) -> tuple[str, list[str]]:
    """Name or path, and the options after it. A path may hold colons before its `.npz`."""
    head, dot, tail = name.rpartition(".npz")
    if dot and (not tail or tail.startswith(":")):
        return head + dot, tail.split(":")[1:]
    base, *options = name.split(":")
    return base, options
