"""What a hostile remote, record, model, name or web page may try; each attempt must be refused by an error that names it."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import onnx
from onnx import TensorProto, helper

from dashboard.access import Guard
from dashboard.readers import project_files
from dashboard.readers.project_files import Unreadable
from flows.dvc_state import object_cache
from flows.maintenance import remote
from flows.runs import record_schema, recovery, run_record
from tasks.core import onnx_model, params_file
from tasks.core.errors import UserError
from tasks.core.storage.manifest import CHECKSUMS, read_manifest

PATHS = ("../x", "/etc/passwd", "a/../../x", "..", ".", "", "a\\..\\x", "a//b", "a\0b", "./a", "a/./b", "//x", "x/..")
COMMAND_WORDS = ("; touch F #", "$(id)", "`id`", "a b", "a|b", "a&b", "a>b", "-rf", "--help", "a'b", 'a"b', "a\nb")
NAMES = (*COMMAND_WORDS, "../a", "a/b", "a" * 99, "", "é", "a\0")
FILES = (
    *(".dvc/config.local", ".dvc/tmp/lock", ".dvc/config", ".git/hooks/post-checkout", ".bonsai/locks/x", "data/x", ".env"),
    *("tasks/x.so", "tasks/x.pth", "tasks/../x.py", "/tasks/x.py", "pulled.json", "Makefile", "setup.py", "journal/../x.out"),
    *("sitecustomize.py", "conftest.py", "flows/x.py"),
)
HOSTS = ("evil.example", "127.0.0.1", "127.0.0.1:1", "localhost", "127.0.0.1:8501.evil.example", "", "[::1]:8501", "0.0.0.0:8501")
ORIGINS = (
    "http://localhost:9999",
    "http://127.0.0.1:9999",
    "https://127.0.0.1:8501",
    "null",
    "",
    "http://x.streamlit.app",
    "http://localhost:8501",
)
TOKENS = ("", "wrong", "secre", "secrett", "SECRET", "é", "secret\0", "%00secret")


def refused(attempt: Callable[[], object]) -> bool:
    """Whether the attempt ends in an error that names what is wrong."""
    try:
        result = attempt()
    except (UserError, Unreadable, ValueError) as error:
        return bool(str(error))
    return result is False


def corpus() -> Iterator[tuple[str, Callable[[], object]]]:
    """Every attack: what it tries, and the attempt."""
    place = Path(tempfile.mkdtemp())
    for path in PATHS:
        listing = json.dumps([{"md5": "0" * 32, "relpath": path}]).encode()
        yield f"list of a folder: {path!r}", partial(object_cache.parse_folder_list, listing, place)
        outs = {"stages": {"a@b": {"outs": {path: {"md5": "0" * 31}}}}}
        yield f"record, output: {path!r}", partial(record_schema.validate, outs)
        yield f"record, stage: {path!r}", partial(record_schema.validate, {"stages": {path: {}}})
        yield f"record, key: {path!r}", partial(record_schema.validate, {"stages": {"a@b": {"key": path or "/"}}})
        yield f"checkpoint: {path!r}", partial(recovery.restore_checkpoints, place, place / "r", "a@b", path or "/")
        yield f"checkpoint of {path!r}", partial(recovery.restore_checkpoints, place, place / "r", path, "a")
        yield f"id of a run: {path!r}", partial(run_record.find, place, path)
        yield f"id to pull: {path!r}", partial(remote.is_run_id, path)
        yield f"page of {path!r}", partial(project_files.slug, path)
        yield f"manifest: {path!r}", partial(_manifest, place, path)
    for md5 in ("../../x", "0" * 31, "G" * 32, None, 3, ""):
        listing = json.dumps([{"md5": md5, "relpath": "a"}]).encode()
        yield f"hash in a list: {md5!r}", partial(object_cache.parse_folder_list, listing, place)
    for file in FILES:
        yield f"file of a remote: {file}", partial(remote.is_pushed_file, PurePosixPath(file))
    for name in NAMES:
        yield f"recipe {name[:20]!r}", partial(params_file.parse_params, {"use_cases": {"a": {}}, "recipes": {name: []}})
        yield (
            f"use case {name[:20]!r}",
            partial(params_file.parse_params, {"use_cases": {name: {}}, "recipes": {"a": []}}),
        )
    for where in ("initializer", "node", "subgraph", "function", "attribute default", "sparse", "training"):
        yield f"ONNX, external data in {where}", partial(onnx_model.create_session, _external(where))
    for kind in ("http", "websocket"):
        for host in HOSTS:
            yield f"{kind}, host {host!r}", partial(reaches, kind, {"host": host, **COOKIE})
        for origin in ORIGINS:
            headers = {"host": ADDRESS, "origin": origin, **COOKIE}
            yield f"{kind}, origin {origin!r}", partial(reaches, kind, headers)
        for token in TOKENS:
            headers = {"host": ADDRESS, "origin": f"http://{ADDRESS}", "cookie": f"bonsai-8501={token}"}
            yield f"{kind}, token {token!r}", partial(reaches, kind, headers)


ADDRESS = "127.0.0.1:8501"
COOKIE = {"cookie": "bonsai-8501=secret"}


def reaches(kind: str, headers: dict[str, str]) -> bool:
    """Whether a request with these headers gets through the guard of the dashboard, whose token is `secret`."""
    reached = []

    async def application(*_: Any) -> None:
        reached.append(True)

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None: ...

    encoded = [(name.encode(), value.encode("utf-8")) for name, value in headers.items()]
    scope = {"type": kind, "method": "GET", "path": "/", "query_string": b"", "headers": encoded}
    asyncio.run(Guard(application, "secret", ADDRESS)(scope, receive, send))
    return bool(reached)


def _manifest(place: Path, path: str) -> object:
    (place / CHECKSUMS).write_text(json.dumps({path: "0" * 64}))
    return read_manifest(place)


def _external(where: str) -> bytes:
    """A model that keeps a tensor in the file of passwords of this machine, somewhere in it."""
    tensor = TensorProto(name="w", data_type=TensorProto.UINT8, dims=[4], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="../../../../etc/passwd")
    constant = helper.make_node("Constant", [], ["c"], value=tensor)
    end = helper.make_tensor_value_info("outputs", TensorProto.UINT8, [4])
    plain = helper.make_node("Constant", [], ["outputs"], value=helper.make_tensor("p", TensorProto.UINT8, [4], [1, 2, 3, 4]))
    graph = helper.make_graph([plain], "g", [], [end])
    model = helper.make_model(graph)
    if where == "initializer":
        model.graph.initializer.append(tensor)
    elif where == "node":
        model.graph.node.append(constant)
    elif where == "subgraph":
        inner = helper.make_graph([constant], "inner", [], [helper.make_tensor_value_info("c", TensorProto.UINT8, [4])])
        model.graph.node.append(helper.make_node("If", ["outputs"], ["x"], then_branch=inner, else_branch=inner))
    elif where == "function":
        model.functions.append(helper.make_function("d", "F", [], ["c"], [constant], [helper.make_opsetid("", 17)]))
    elif where == "attribute default":
        function = helper.make_function("d", "F", [], ["c"], [], [helper.make_opsetid("", 17)])
        function.attribute_proto.append(helper.make_attribute("value", tensor))
        model.functions.append(function)
    elif where == "sparse":
        sparse = onnx.SparseTensorProto(dims=[4])
        sparse.values.CopyFrom(tensor)
        model.graph.sparse_initializer.append(sparse)
    else:
        training = model.training_info.add()
        training.initialization.initializer.append(tensor)
    return bytes(model.SerializeToString())
