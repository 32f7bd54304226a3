"""The models that a server answers with: the champion of each use case, replaced while requests run when it changes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from flows.registry import history, versions
from flows.serving.interfaces import ServedModel
from tasks.core.errors import UserError
from tasks.inference.released_model import load_release


class ServedModels:
    """One loaded model per use case. A reader gets the old or the new one, never a half-loaded one."""

    def __init__(self, root: Path, use_cases: Iterable[str]) -> None:
        """Load all models; raises a `UserError` for a use case without one."""
        self.root = root
        self._models = {name: self._load(name) for name in use_cases}
        self._challengers = {name: self._load_challenger(name) for name in self._models}
        self._seen = {name: self._stamp(name) for name in self._models}

    def names(self) -> list[str]:
        return list(self._models)

    def of(self, use_case: str) -> ServedModel:
        """The model that answers now."""
        return self._models[use_case]

    def challenger(self, use_case: str) -> ServedModel | None:
        """The model that is asked in shadow; None without a challenger, and while it is the champion itself."""
        return self._challengers[use_case]

    def refresh(self) -> list[str]:
        """Load the champions that changed since the last look; returns a line for each, also for one that failed to load."""
        lines = []
        for name, before in self._seen.items():
            stamp = self._stamp(name)
            if stamp == before:
                continue
            self._seen[name] = stamp
            old = self._models[name].name
            try:
                new = self._load(name)
            except UserError as error:
                lines.append(f"{name}: kept {old}, since the new one cannot be loaded: {error}")
                continue
            if new.name != old:
                self._models[name] = new  # one assignment: requests under way keep the old one until they end
                lines.append(f"{name}: {old} was replaced by {new.name}")
            self._challengers[name] = self._load_challenger(name)
        return lines

    def _load(self, use_case: str) -> ServedModel:
        champion = history.read(self.root, use_case).at(history.CHAMPION)
        if champion:
            return ServedModel(
                use_case, champion.name, load_release(versions.version_folder(self.root, champion), project=self.root)
            )
        folder = self.root / "data" / use_case / "release"
        if not folder.is_dir():
            raise UserError(f"{use_case} has neither a champion nor a release; `bonsai run {use_case}` makes one")
        return ServedModel(use_case, f"{use_case}@release", load_release(folder, project=self.root))

    def _load_challenger(self, use_case: str) -> ServedModel | None:
        registered = history.read(self.root, use_case)
        version = registered.at(history.CHALLENGER)
        if version is None or version == registered.at(history.CHAMPION):
            return None
        try:
            return ServedModel(
                use_case, version.name, load_release(versions.version_folder(self.root, version), project=self.root)
            )
        except UserError:
            return None  # `bonsai models` names the damaged file; a shadow must not keep the server from answering

    def _stamp(self, use_case: str) -> tuple[int, int]:
        """What changes when the history or the release changes."""
        paths = (history.folder(self.root, use_case) / history.FILE, self.root / "data" / use_case / "release")
        first, second = (path.stat().st_mtime_ns if path.exists() else 0 for path in paths)
        return first, second
