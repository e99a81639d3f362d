"""Where things lie in a run's output folder: the files by which the stages hand on their work."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class OutDir:
    """The folder given as ``--out``; its properties are paths, none of which needs to exist."""

    root: Path

    @property
    def ledger(self) -> Path:
        """Every attempt and score, SQLite: the truth that all tables are made from."""
        return self.root / "ledger.sqlite"

    @property
    def manifest(self) -> Path:
        """Everything that determines the results, JSON."""
        return self.root / "manifest.json"

    @property
    def results(self) -> Path:
        """The results table (`harness.results`)."""
        return self.root / "results.csv"

    @property
    def ranking(self) -> Path:
        """Final ranks: ``scheme,team,score,rank``."""
        return self.root / "ranking.csv"

    @property
    def ranking_json(self) -> Path:
        """The ranking with its settings, notes and stability, JSON."""
        return self.root / "ranking.json"

    @property
    def ranks(self) -> Path:
        """Ranks within tasks and metrics: ``scheme,task,metric,team,aggregate,rank``."""
        return self.root / "ranks.csv"

    @property
    def wilcoxon(self) -> Path:
        """Pairwise Wilcoxon signed-rank tests."""
        return self.root / "wilcoxon.csv"

    @property
    def bootstrap(self) -> Path:
        """``ranks`` (B, U, T), ``tau`` (B, U), ``units`` (U,), ``teams`` (T,)."""
        return self.root / "bootstrap.npz"

    @property
    def consensus(self) -> Path:
        """Joint rankings of all tasks: ``method,metric,team,score,rank``."""
        return self.root / "consensus.csv"

    def analysis(self, name: str) -> Path:
        """A further table of the ranking (docs/ranking.md)."""
        return self.root / "analysis" / f"{name}.csv"

    @property
    def costs(self) -> Path:
        """What each attempt cost, with what submissions tell of their own phases (`harness.costs`)."""
        return self.root / "costs.csv"

    @property
    def costs_page(self) -> Path:
        """The same as tables to read, a row a case."""
        return self.root / "costs.md"

    @property
    def phases_figure(self) -> Path:
        """Where the time goes, a stacked bar a submission."""
        return self.root / "phases.svg"

    @property
    def report(self) -> Path:
        """The report, one HTML file."""
        return self.root / "report.html"

    def prediction(self, team: str, case: str, repeat: int = 1) -> Path:
        """An accepted prediction."""
        name = f"{case}.npz" if repeat == 1 else f"{case}.{repeat}.npz"
        return self.root / "predictions" / team / name

    @property
    def logs(self) -> Path:
        """Folder of all attempts' logs."""
        return self.root / "logs"

    def log(self, team: str, case: str, repeat: int = 1) -> Path:
        """What an attempt wrote to stdout and stderr: its head and tail."""
        return self.logs / team / f"{case}.{repeat}.txt"

    def running_times(self, team: str) -> Path:
        """A team's runtimes in the official format: ``CaseName,RunningTime``."""
        return self.root / team / f"{team}_running_time.csv"
