"""Versions of the packages, the machine, workers, disk usage, and the report of `bonsai doctor` on request."""

from __future__ import annotations

import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pandas as pd
import psutil
import streamlit as st

from dashboard.readers import bonsai_commands, prefect_api
from dashboard.readers.bonsai_commands import CommandError
from dashboard.readers.prefect_api import RequestRefused
from dashboard.readers.project_files import Unreadable
from dashboard.readers.runs import run_records, workers
from dashboard.text import formatting
from dashboard.ui import locale, widgets
from dashboard.ui.locale import t
from flows import settings

PACKAGES = ("bonsai", "torch", "onnxruntime", "prefect", "dvc", "dask", "streamlit", "pandas", "pandera", "numpy", "scikit-learn")
DOCTOR_TIMEOUT_S = 300
MAX_QUEUED = 12
"""The most waiting stages that are named."""
MEASURED_FOLDERS = ("runs", ".dvc/cache", "data", ".prefect", ".bonsai")


def show(root: Path) -> None:
    """The page."""
    left, right = st.columns(2, gap="medium")
    with left, st.container(border=True, height="stretch"):
        st.markdown(f"**{t('about.versions')}**")
        st.table(
            {"Python": platform.python_version(), **_versions()}, border="horizontal", width="stretch", alt=t("about.versions")
        )
    with right, st.container(border=True, height="stretch"):
        st.markdown(f"**{t('about.machine')}**")
        st.table(_machine(root), border="horizontal", width="stretch", alt=t("about.machine"))
    with st.container(border=True):
        st.markdown(f"**{t('about.workers')}**")
        _workers(root)
    with st.container(border=True):
        st.markdown(f"**{t('about.disk')}**")
        st.table(_disk(root), border="horizontal", width="content", alt=t("about.disk"))
    with st.container(border=True):
        st.markdown(f"**{t('about.doctor')}**")
        st.caption(t("about.doctor_note"))
        if st.button(t("about.examine"), icon=":material/stethoscope:", key="examine"):
            with st.spinner(t("about.examining")):
                st.session_state["findings"] = _doctor(root)
        if findings := st.session_state.get("findings"):
            st.code(findings, language=None, wrap_lines=True)


def _versions() -> dict[str, str]:
    versions = {"Python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def _machine(root: Path) -> dict[str, str]:
    memory = psutil.virtual_memory()
    return {
        t("about.system"): formatting.escape(platform.platform(), 120),
        t("about.cores"): f"{len(os.sched_getaffinity(0))} / {os.cpu_count()}",
        t("about.load"): " · ".join(f"{load:.2f}" for load in os.getloadavg()),
        t("about.memory"): t("about.of", part=formatting.size(memory.used), whole=formatting.size(memory.total)),
        t("about.project"): formatting.escape(root, 200),
        t("about.runs"): formatting.number(len(run_records.run_ids(root))),
        t("about.dask"): formatting.escape(os.environ.get("DASK_SCHEDULER_ADDRESS", "") or t("about.local"), 120),
        t("about.server"): _server(root),
    }


def _server(root: Path) -> str:
    server = prefect_api.server(root)
    if server is None:
        return t("about.no_server")
    try:
        return formatting.escape(f"{server.url} ({server.version()})", 160)
    except (Unreadable, RequestRefused):
        return formatting.escape(server.url, 160)


def _workers(root: Path) -> None:
    waiting = workers.queue(root)
    st.markdown(t("about.slots", held=waiting.held, slots=waiting.slots))
    if waiting.stages:
        names = " · ".join(formatting.code(f"{stage} ({run})") for run, stage in waiting.stages[:MAX_QUEUED])
        more = len(waiting.stages) - MAX_QUEUED
        st.markdown(t("about.queue", stages=names) + (f" · {t('run.more_curves', count=more)}" if more > 0 else ""))
    active = workers.list_workers(root)
    if not active:
        st.caption(t("about.workers_none"))
        return
    rows = [
        {
            t("about.worker_kind"): t(f"about.worker_{worker.kind}"),
            t("about.worker"): worker.name,
            t("about.worker_state"): t(f"about.worker_{worker.state}") if worker.kind != "pool" else worker.state,
            t("about.worker_stages"): ", ".join(worker.stages),
            t("about.worker_since"): formatting.local_time(worker.at, locale.zone(), seconds=True),
            t("about.worker_processes"): worker.processes,
            t("about.worker_memory"): formatting.size(worker.memory_bytes),
        }
        for worker in active
    ]
    widgets.table(pd.DataFrame(rows), key="workers", alt_text=t("about.workers"))


def _disk(root: Path) -> dict[str, str]:
    usage = shutil.disk_usage(root)
    sizes = {t("about.free"): t("about.of", part=formatting.size(usage.free), whole=formatting.size(usage.total))}
    return sizes | {
        name: formatting.size(_folder_bytes(root / name, int(root.stat().st_mtime // 60)))
        for name in MEASURED_FOLDERS
        if (root / name).exists()
    }


@st.cache_data(ttl="2m", max_entries=16, show_spinner=False)
def _folder_bytes(folder: Path, minute: int) -> int:
    """Bytes below a folder; a file with several hard links counts once. `minute` expires the cache."""
    counted: set[tuple[int, int]] = set()
    total = 0
    for directory, _, names in os.walk(folder):
        for name in names:
            try:
                stat = (Path(directory) / name).lstat()
            except OSError:
                continue
            if (stat.st_dev, stat.st_ino) not in counted:
                counted.add((stat.st_dev, stat.st_ino))
                total += stat.st_size
    return total


def _doctor(root: Path) -> str:
    settings.apply(root)
    try:
        done = bonsai_commands.run(root, "doctor", timeout_s=DOCTOR_TIMEOUT_S)
    except CommandError as error:
        return str(error)
    return (done.stdout + done.stderr).strip() or formatting.NOTHING
