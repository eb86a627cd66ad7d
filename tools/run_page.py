"""Run the Python code of pages of the documentation, which draws their pictures anew.

    python tools/run_page.py docs/pictures.md docs/tutorial.md

All blocks of a page share one namespace and run in the page's folder. What a block prints is compared with the
text block that follows it by tests/test_pages.py, and can be written into the page with --write.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
from pathlib import Path

BLOCK = re.compile(r"```python\n(?P<code>.*?)```(?:\n+```text\n(?P<shown>.*?)```)?", re.S)


def run_page(page: Path, folder: Path) -> list[tuple[str | None, str]]:
    """Run a page's code in a folder; return what the text after each block shows, if any, and what it printed."""
    text, namespace, results = page.read_text(encoding="utf-8"), {"__name__": page.stem}, []
    with contextlib.chdir(folder) if hasattr(contextlib, "chdir") else _changed(folder):
        for block in BLOCK.finditer(text):
            # line numbers of errors are the page's
            code = "\n" * text[: block.start("code")].count("\n") + block["code"]
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile(code, str(page), "exec"), namespace)
            results.append((block["shown"], printed.getvalue()))
    return results


@contextlib.contextmanager
def _changed(folder: Path):  # Python 3.10 has no contextlib.chdir
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def shrink_pictures(page: Path) -> None:
    """Save the page's pictures with 128 colours: a third of the size, and no difference that can be seen."""
    from PIL import Image

    for name in set(re.findall(r"\]\((pictures/.*?\.png)\)", page.read_text(encoding="utf-8"))):
        path = page.resolve().parent / name
        Image.open(path).convert("RGB").quantize(128).save(path, optimize=True)


def main() -> None:
    """Run the pages named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pages", nargs="+", type=Path)
    parser.add_argument("--write", action="store_true", help="write what was printed into the page")
    options = parser.parse_args()
    for page in options.pages:
        results = iter(run_page(page, page.resolve().parent))
        shrink_pictures(page)
        if options.write:

            def with_output(block: re.Match[str], results=results) -> str:
                shown, printed = next(results)
                return block[0] if shown is None else block[0][: -len(shown) - 3] + printed + "```"

            page.write_text(BLOCK.sub(with_output, page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    os.environ.setdefault("MPLBACKEND", "Agg")
    main()
