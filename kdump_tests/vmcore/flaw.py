"""Why a dump is not whole. Inside this room only: outside it becomes a fact or a BadDump."""


class Flaw(Exception):
    """What the dump says contradicts itself. The text is a clause: "its header claims ..."."""


class Torn(Flaw):
    """Bytes are missing and what is there makes sense: a tool may still read the part that was saved."""


class Partial(Torn):
    """One part of a split dump, whole in itself."""


class Unknown(Flaw):
    """The kernel does not describe this of itself, or not in a way that is understood here."""


class Foreign(Flaw):
    """A file that is something else than a dump of a kernel, whole or not."""
