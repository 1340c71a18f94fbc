"""Writes the bill of materials of a service, CycloneDX 1.6 as JSON, from the lock: python sbom.py LOCK PYPROJECT"""

from __future__ import annotations

import json
import os
import re
import sys
import tomllib
import uuid
from datetime import UTC, datetime
from pathlib import Path


def components(lock: str) -> list[dict[str, object]]:
    """Return what the lock installs, with the hashes that it accepts."""
    found = []
    for entry in re.split(r"\n(?! )", lock.replace("\\\n", "").strip()):
        requirement = re.match(r"([\w.-]+)==([^ ;]+)", entry)
        if requirement is None:
            continue
        name, version = requirement.groups()
        url = f"pkg:pypi/{name.lower()}@{version}"
        hashes = [{"alg": "SHA-256", "content": digest} for digest in re.findall(r"--hash=sha256:(\w{64})", entry)]
        found.append(
            {"type": "library", "bom-ref": url, "name": name, "version": version, "purl": url, "hashes": hashes}
        )
    return found


def document(lock: str, project: dict[str, str]) -> dict[str, object]:
    """Return the bill. It holds nothing that depends on where or when it is made, but for the time of the commit."""
    made = datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), UTC)
    url = f"pkg:pypi/{project['name']}@{project['version']}"
    subject = {
        "type": "application",
        "bom-ref": url,
        "name": project["name"],
        "version": project["version"],
        "purl": url,
        "licenses": [{"license": {"id": project["license"]}}],
    }
    parts = components(lock)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, url + lock)}",
        "version": 1,
        "metadata": {"timestamp": made.isoformat().replace("+00:00", "Z"), "component": subject},
        "components": parts,
        "dependencies": [{"ref": url, "dependsOn": [part["bom-ref"] for part in parts]}],
    }


if __name__ == "__main__":
    lock_file, project_file = map(Path, sys.argv[1:])
    described = tomllib.loads(project_file.read_text("utf-8"))["project"]
    json.dump(document(lock_file.read_text("utf-8"), described), sys.stdout, indent=1)
    sys.stdout.write("\n")
