# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes what a release consists of and needs, as CycloneDX 1.6, and validates it: sbom.py VERSION FOLDER

FOLDER holds the files of the release; the list slabby-VERSION.cdx.json is written beside them.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tomllib
import uuid
from datetime import UTC, datetime
from pathlib import Path

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

ROOT = Path(__file__).resolve().parents[1]
LICENCE = "GPL-3.0-or-later"


def main() -> int:
    version, folder = sys.argv[1], Path(sys.argv[2])
    bom = describe(version, folder)
    text = JsonV1Dot6(bom).output_as_string(indent=2)
    fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if fault is not None:
        print(f"error: the SBOM does not keep to its schema: {fault}", file=sys.stderr)
        return 1
    output = folder / f"slabby-{version}.cdx.json"
    output.write_text(text + "\n", encoding="utf-8")
    print(f"{output.name}: {len(bom.components)} components, valid CycloneDX 1.6")
    return 0


def describe(version: str, folder: Path) -> Bom:
    bom = Bom()
    # The same commit gives the same text.
    commit = git("log", "-1", "--format=%H %ct").split()
    bom.serial_number = uuid.uuid5(
        uuid.NAMESPACE_URL, f"https://github.com/slabby/slabby/commit/{commit[0]}"
    )
    bom.metadata.timestamp = datetime.fromtimestamp(int(commit[1]), UTC)
    main = Component(
        name="slabby",
        version=version,
        type=ComponentType.LIBRARY,
        bom_ref="slabby",
        purl=PackageURL("pypi", None, "slabby", version),
        licenses=[LicenseExpression(LICENCE)],
    )
    bom.metadata.component = main
    files = [file_component(path, folder) for path in sorted(folder.rglob("*")) if path.is_file()]
    needs = [requirement(text) for text in python_requirements()]
    for component in [*files, *needs]:
        bom.components.add(component)
    # The C core and the Go module need nothing; the Python package needs what pyproject.toml says.
    bom.register_dependency(main, needs)
    return bom


def file_component(path: Path, folder: Path) -> Component:
    name = path.relative_to(folder).as_posix()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Component(
        name=name,
        type=ComponentType.FILE,
        bom_ref=f"file:{name}",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)],
        licenses=[LicenseExpression(LICENCE)],
    )


def python_requirements() -> list[str]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        return list(tomllib.load(file)["project"]["dependencies"])


def requirement(text: str) -> Component:
    """Without a version: the user's installer chooses one within the limits."""
    name = text.partition(">")[0].strip()
    return Component(
        name=name,
        type=ComponentType.LIBRARY,
        bom_ref=f"pypi:{name}",
        purl=PackageURL("pypi", None, name),
        description=f"required at run time by the Python package: {text}",
    )


def git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout


if __name__ == "__main__":
    sys.exit(main())
