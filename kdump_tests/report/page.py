"""The page: one file, made from facts alone, that a person reads on a phone at breakfast."""

import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from kdump_tests.report import words
from kdump_tests.report.answer import answer, answer_for, tally
from kdump_tests.report.chart import chart
from kdump_tests.report.facts import Fact, Verdict
from kdump_tests.report.foreign import readable, relative_url
from kdump_tests.report.run import GuestStory, Run
from kdump_tests.report.timeline import bars

GUESTS = "guests"
"""Where the guests' own folders lie in a report's."""


@dataclass(frozen=True)
class Log:
    """A file in a guest's folder, by its path in the report."""

    path: str
    size: int

    @property
    def name(self) -> str:
        """Without its folder."""
        return self.path.rpartition("/")[2]


def render_page(facts: Iterable[Fact], folder: Path | None = None) -> str:
    """The page that these facts make; with the report's folder at hand it links the guests' logs."""
    run = Run.of(facts)
    verdicts = [verdict for guest in run.guests for verdict in guest.verdicts]
    # Of a guest that never ran there is only its reservation to tell, and that has a place of its own.
    sections = {
        guest.name: f"guest-{number}"
        for number, guest in enumerate(run.guests, 1)
        if guest.name and not guest.probed_only
    }
    return _template().render(
        run=run,
        answer=answer(run),
        tally=tally(verdicts),
        troubles={
            outcome: _alike(verdict for verdict in verdicts if verdict.outcome == outcome)
            for outcome in ("failed", "error")
        },
        guests=[
            (sections.get(guest.name, "reserved"), guest, answer_for(guest, run), _logs(guest, folder))
            for guest in run.guests
        ],
        sections=sections,
        chart=chart(run.reservations, run.prediction),
        bars=bars,
        node_id=words.NodeId.parse,
    )


def _alike(verdicts: Iterable[Verdict]) -> list[list[Verdict]]:
    """One crash has many checks: when it goes wrong they say the same, and it is worth reading once."""
    groups: dict[tuple[str, str], list[Verdict]] = {}
    for verdict in verdicts:
        groups.setdefault((verdict.guest, verdict.message), []).append(verdict)
    return list(groups.values())


def _logs(guest: GuestStory, report: Path | None) -> tuple[Log, ...]:
    """A guest that never came up has a console log too: that folder is known by name alone."""
    if report is None or not guest.name:
        return ()
    home = guest.boots[-1].folder if guest.boots else f"{GUESTS}/{words.folder_name(guest.name)}"
    if not relative_url(home) or not (report / home).is_dir():
        return ()
    return tuple(_regular_files(report / home, home))


def _regular_files(folder: Path, shown_as: str) -> Iterator[Log]:
    for path in sorted(folder.iterdir()):
        with suppress(FileNotFoundError):  # other rooms write there meanwhile, and rename
            status = path.lstat()
            if stat.S_ISREG(status.st_mode):
                yield Log(f"{shown_as}/{path.name}", status.st_size)


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("kdump_tests.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_cleaned,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters |= {
        "seconds": words.seconds,
        "size": words.size,
        "exact_size": words.exact_size,
        "moment": words.moment,
        "count": words.count,
        "url": relative_url,
    }
    return environment.get_template("page.html.j2")


def _cleaned(value: object) -> object:
    """Every word on the page comes through here, before autoescape: no template line can forget it."""
    return value if isinstance(value, Markup) else readable(str(value))
