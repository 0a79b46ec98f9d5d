# SPDX-License-Identifier: GPL-3.0-or-later
"""Hooks of MkDocs: the API reference that Doxygen wrote becomes part of the site, so that links to it are checked."""

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

API = Path("build/docs/api")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    root = Path(config.config_file_path).parent
    if not (root / API / "index.html").is_file():
        raise PluginError(f"{API} is missing; run first: doxygen docs/Doxyfile")
    for path in sorted((root / API).rglob("*")):
        if path.is_file():
            uri = path.relative_to((root / API).parent).as_posix()
            files.append(File(uri, str((root / API).parent), config.site_dir, False))
    return files
