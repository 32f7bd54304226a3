"""Code of a person's own: run from its source, with its errors in one line that names the file and the line."""

from __future__ import annotations

import inspect
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from types import ModuleType
from typing import Any

from tasks.core.errors import UserError
from tasks.core.registry import unknown_name


@contextmanager
def errors_in_one_line(file: str) -> Iterator[None]:
    """Turn what a person's code raises into a `UserError` with the file's name and line."""
    try:
        yield
    except UserError:
        raise
    except SyntaxError as error:
        raise UserError(f"{error.filename or file}, line {error.lineno}: {error.msg}") from None
    except Exception as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
        where = f"{file}, line {lines[-1]}" if lines else file
        reason = (str(error).strip().splitlines() or [""])[0]
        advice = "; a network is one file, and may import installed packages" if isinstance(error, ModuleNotFoundError) else ""
        raise UserError(f"{where}: {type(error).__name__}: {reason}{advice}") from None


def load_function(file: str, source: str, name: str) -> Callable[..., Any]:
    """The function or class `name` of a source text; `file` is its name in messages. Raises a `UserError`."""
    key = f"own_network_{sha256(source.encode()).hexdigest()[:16]}"
    with errors_in_one_line(file):
        module = sys.modules.get(key)
        if module is None:
            module = ModuleType(key)
            sys.modules[key] = module  # dataclasses look their module up
            try:
                exec(compile(source, file, "exec"), vars(module))
            except BaseException:
                del sys.modules[key]
                raise
    named = vars(module).get(name)
    if not callable(named):
        functions = [each for each, value in vars(module).items() if getattr(value, "__module__", "") == key and callable(value)]
        raise UserError(unknown_name(f"{file} has no function", name, functions))
    return named  # type: ignore[no-any-return]


def call_with_known(function: Callable[..., Any], file: str, keywords: Mapping[str, Any]) -> Any:
    """Call a function with those of the keywords that it takes. Raises a `UserError` where it needs another."""
    parameters = inspect.signature(function).parameters.values()
    takes_all = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters)
    names = {parameter.name for parameter in parameters}
    for parameter in parameters:
        plain = parameter.kind not in (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
        if plain and parameter.default is inspect.Parameter.empty and parameter.name not in keywords:
            message = unknown_name(f"{file}: {function.__name__} cannot be told its", parameter.name, keywords)
            raise UserError(f"{message}; give any other a default")
    with errors_in_one_line(file):
        return function(**{name: value for name, value in keywords.items() if takes_all or name in names})
