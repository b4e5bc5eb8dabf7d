"""Generate schemas/gen from schemas/proto, and freeze the shapes of a release.

    python schemas/generate.py [FOLDER]             the modules and their stubs, into schemas/gen or a folder
    python schemas/generate.py --release VERSION    tests/schemas/released/VERSION.binpb

The generated modules import each other as `norn.v1...`; that prefix is rewritten to `schemas.gen.norn.v1`, so that
nothing outside this package claims the name `norn`. It is run as a script, since the package may need what it makes.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sysconfig
import tempfile
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet

HERE = Path(__file__).parent
PROTO = HERE / "proto"
GENERATED = HERE / "gen"
RELEASED = HERE.parent / "tests" / "schemas" / "released"


def generate(output: Path) -> None:
    """Write the Python modules and their type stubs for every .proto file below `output`.

    Raises SystemExit when protoc refuses a file; protoc has then printed why.
    """
    with tempfile.TemporaryDirectory() as scratch:
        plugin = Path(sysconfig.get_path("scripts")) / "protoc-gen-mypy"
        _protoc(f"--python_out={scratch}", f"--plugin=protoc-gen-mypy={plugin}", f"--mypy_out=quiet:{scratch}")
        for path in sorted(Path(scratch).rglob("*.py*")):
            target = output / path.relative_to(scratch)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(_rewrite_imports(path.read_text()))
            for folder in [target.parent, *target.parent.relative_to(output).parents]:
                (output / folder / "__init__.py").touch()


def todays_shapes() -> FileDescriptorSet:
    """Every message, field and option of schemas/proto as it stands. Raises SystemExit as `generate` does."""
    with tempfile.TemporaryDirectory() as scratch:
        compiled = Path(scratch) / "shapes.binpb"
        _protoc(f"--descriptor_set_out={compiled}")
        return FileDescriptorSet.FromString(compiled.read_bytes())


def release(version: str, folder: Path = RELEASED) -> Path:
    """Save today's shapes as those of a release, which every later shape must still be able to read.

    Raises SystemExit when that release is saved already: facts written by it are on somebody's log.
    """
    path = folder / f"{version}.binpb"
    if path.exists():
        raise SystemExit(f"{path} exists: a release is saved once; remove the file first if it was never shipped")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(todays_shapes().SerializeToString(deterministic=True))
    return path


def _protoc(*outputs: str) -> None:
    from grpc_tools import protoc

    sources = sorted(str(path.relative_to(PROTO)) for path in PROTO.rglob("*.proto"))
    well_known = str(files("grpc_tools").joinpath("_proto"))
    if protoc.main(["protoc", f"-I{PROTO}", f"-I{well_known}", *outputs, *sources]) != 0:
        raise SystemExit("protoc refused the schemas; see its message above")


def _rewrite_imports(text: str) -> str:
    text = re.sub(r"^from norn\.v1 import", "from schemas.gen.norn.v1 import", text, flags=re.M)
    return re.sub(r"\bnorn\.v1\.(\w+_pb2)", r"schemas.gen.norn.v1.\1", text)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line above. Raises SystemExit, with what to do, for arguments it cannot act on."""
    parser = argparse.ArgumentParser(prog="python schemas/generate.py", description="Generate code from schemas/proto.")
    parser.add_argument("folder", nargs="?", type=Path, default=GENERATED, help="where to write; schemas/gen if absent")
    parser.add_argument("--release", metavar="VERSION", help="save today's shapes as those of this release instead")
    chosen = parser.parse_args(arguments)
    if chosen.release is not None:
        print(f"saved {release(chosen.release)}")
        return
    if chosen.folder != GENERATED and chosen.folder.exists() and any(chosen.folder.iterdir()):
        parser.error(f"{chosen.folder} is not empty: name a new or an empty folder")
    # This very command imports schemas/gen, so the old code goes only once the new is whole.
    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch))
        if chosen.folder == GENERATED:
            shutil.rmtree(GENERATED, ignore_errors=True)
        shutil.copytree(scratch, chosen.folder, dirs_exist_ok=True)


if __name__ == "__main__":
    main()
