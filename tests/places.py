"""The places in nested dicts, tuples and lists, as the steps that lead there from the root."""


def places(value, entries, path=()):
    """Every place, the root () too; of lists and tuples of n those numbers that ``entries(n)`` gives."""
    yield path
    if isinstance(value, dict):
        steps = value
    else:
        steps = entries(len(value)) if isinstance(value, (list, tuple)) else ()
    for step in steps:
        yield from places(value[step], entries, (*path, step))
