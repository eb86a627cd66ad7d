"""Write the address of the repository into the metadata before a build, where alone it is known.

    python tools/project_urls.py https://github.com/OWNER/NAME

adds [project.urls] to pyproject.toml and repository-code to CITATION.cff, and makes the README's links absolute:
its text is the page of the package too. The tree names no address, so that a copy elsewhere does not point here.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

ADDRESS = re.compile(r"https://github\.com/(?P<owner>[\w-]+)/(?P<name>[\w.-]+)")


def write_urls(root: Path, address: str) -> None:
    """Write the URLs that follow from the address of the repository into the files in `root`."""
    repository = ADDRESS.fullmatch(address)
    if repository is None:
        raise SystemExit(f"{address!r} is no address of a repository, such as https://github.com/OWNER/NAME")
    project, citation, readme = (root / name for name in ("pyproject.toml", "CITATION.cff", "README.md"))
    metadata = project.read_text(encoding="utf-8")
    if "[project.urls]" in metadata:
        raise SystemExit("pyproject.toml has [project.urls] already")
    version = re.search(r'^version = "(.+)"$', metadata, re.M)[1]
    files = f"{address}/blob/v{version}"
    site = f"https://{repository['owner'].lower()}.github.io/{repository['name']}/"  # where docs.yml puts it
    urls = {
        "Homepage": site,
        "Documentation": site,
        "Source": address,
        "Issues": f"{address}/issues",
        "Changelog": f"{files}/CHANGELOG.md",
    }
    with project.open("a", encoding="utf-8", newline="\n") as file:
        file.write("\n[project.urls]\n" + "".join(f'{name} = "{url}"\n' for name, url in urls.items()))
    with citation.open("a", encoding="utf-8", newline="\n") as file:
        file.write(f'repository-code: "{address}"\n')
    text = readme.read_text(encoding="utf-8")
    readme.write_text(re.sub(r"\]\((?!https:)", f"]({files}/", text), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address")
    write_urls(Path(__file__).parents[1], parser.parse_args().address)
