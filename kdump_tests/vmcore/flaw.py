"""Why a dump is not whole. Inside this room only: outside it becomes a fact or a BadDump."""


class Flaw(Exception):
    """What the dump says contradicts itself. The text is a clause: "its header claims ..."."""


class Torn(Flaw):
    """Bytes are missing and what is there makes sense: a tool may still read the part that was saved."""


class Foreign(Flaw):
    """A file that is something else than a dump of a kernel, whole or not."""
