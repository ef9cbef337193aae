"""`instrument()`: model calls and chains of known libraries become steps, without a change in the program."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, cast

from . import _guard

if TYPE_CHECKING:
    from importlib.abc import Loader, MetaPathFinder
else:
    # The real ones cost a third of the package's import, and nobody asks for them.
    Loader = MetaPathFinder = object

LIBRARIES = {"openai": "openai", "anthropic": "anthropic", "langchain": "langchain_core.tracers.context"}
"""What can be recorded, and the module after whose import it is."""

_wanted: set[str] = set()
_done: set[str] = set()


def instrument(*libraries: str) -> None:
    """Record the model calls of OpenAI's and Anthropic's clients, and LangChain's and LangGraph's runs, as steps.

    All of them when none is named: `openai`, `anthropic`, `langchain`. What isn't imported yet is recorded once it is;
    nothing is imported for it. What the program gets back from these libraries stays exactly what it was. A second call
    changes nothing. The same is done by `STEPSCOPE_INSTRUMENT=1`, or `STEPSCOPE_INSTRUMENT=openai,langchain`. Never
    raises.

        stepscope.instrument()
    """
    try:
        names = [name.strip().lower() for name in libraries or LIBRARIES]
        unknown = [name for name in names if name not in LIBRARIES]
        if unknown:
            known = ", ".join(LIBRARIES)
            _guard.warn("instrument", f"stepscope: nothing is known of {unknown[0][:100]!r}; known are {known}.")
        for name in names:
            if name in LIBRARIES and name not in _wanted:
                _wanted.add(name)
                if LIBRARIES[name] in sys.modules:
                    _apply(name)
        if any(name not in _done for name in _wanted) and _FINDER not in sys.meta_path:
            sys.meta_path.insert(0, _FINDER)
    except Exception:
        _guard.failed("instrumenting")


def from_environment() -> None:
    """Do what `STEPSCOPE_INSTRUMENT` says."""
    told = os.environ.get("STEPSCOPE_INSTRUMENT", "").strip()
    if told.lower() in ("", "0", "false", "no", "off"):
        return
    instrument(*(() if told.lower() in ("1", "true", "yes", "on", "all") else told.split(",")))


def _apply(name: str) -> None:
    """Hook into a library that has been imported, once."""
    if name in _done:
        return
    _done.add(name)
    try:
        module = import_module(f".integrations.{name}", __package__)
        cast("Callable[[], None]", module.install)()
    except Exception:
        _guard.failed(f"hooking into {name}")


class _After(Loader):
    """Loads a module as its own loader does, then tells us."""

    def __init__(self, loader: Loader, name: str) -> None:
        self._loader = loader
        self._name = name

    def __getattr__(self, name: str) -> object:
        """Whatever else is asked of a loader (resources, source) is the loader's own."""
        if name == "_loader":  # not set yet: somebody copies us
            raise AttributeError(name)
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Leave it to the loader."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Leave it to the loader, whose name the module keeps; then hook in."""
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        _apply(self._name)


class _Finder(MetaPathFinder):
    """Watches for the first import of the libraries that are wanted."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a wanted module as the others would."""
        name = next((name for name in _wanted if LIBRARIES[name] == fullname and name not in _done), None)
        if name is None:
            return None
        for finder in sys.meta_path:
            find = None if finder is self else getattr(finder, "find_spec", None)
            spec = None if find is None else find(fullname, path, target)
            if isinstance(spec, ModuleSpec):
                if spec.loader is not None and hasattr(spec.loader, "exec_module"):
                    spec.loader = _After(spec.loader, name)
                return spec
        return None


_FINDER = _Finder()
