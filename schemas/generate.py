"""Generate schemas/gen from schemas/proto: `python -m schemas.generate [OUTPUT_FOLDER]`.

The generated modules import each other as `norn.v1...`; that prefix is rewritten to `schemas.gen.norn.v1`, so that
nothing outside this package claims the name `norn`.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

HERE = Path(__file__).parent
PROTO = HERE / "proto"
GENERATED = HERE / "gen"


def generate(output: Path) -> None:
    """Write the Python modules and their type stubs for every .proto file below `output`.

    Raises SystemExit when protoc refuses a file; protoc has then printed why.
    """
    from grpc_tools import protoc

    sources = sorted(str(path.relative_to(PROTO)) for path in PROTO.rglob("*.proto"))
    with tempfile.TemporaryDirectory() as scratch:
        well_known = str(files("grpc_tools").joinpath("_proto"))
        arguments = ["protoc", f"-I{PROTO}", f"-I{well_known}", f"--python_out={scratch}", f"--mypy_out={scratch}"]
        if protoc.main([*arguments, *sources]) != 0:
            raise SystemExit("protoc refused the schemas; see its message above")
        for path in sorted(Path(scratch).rglob("*.py*")):
            target = output / path.relative_to(scratch)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(_rewrite_imports(path.read_text()))
            for folder in [target.parent, *target.parent.relative_to(output).parents]:
                (output / folder / "__init__.py").touch()


def _rewrite_imports(text: str) -> str:
    text = re.sub(r"^from norn\.v1 import", "from schemas.gen.norn.v1 import", text, flags=re.M)
    return re.sub(r"\bnorn\.v1\.(\w+_pb2)", r"schemas.gen.norn.v1.\1", text)


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else GENERATED
    shutil.rmtree(target, ignore_errors=True)
    generate(target)
