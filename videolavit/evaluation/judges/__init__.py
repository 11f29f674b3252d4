"""Language models that grade answers, behind one interface; which one it was stands in the record.

protocols.py    what a judge is told, what it may reply, and what a reply is worth
server.py       any OpenAI-compatible address
local.py        a transformers model in a folder, held to the allowed replies
grading.py      outcomes of a benchmark graded, verdicts kept in a file
agreement.py    a judge against verdicts that are known
"""

from __future__ import annotations

from pathlib import Path

from videolavit.evaluation.judges.interface import Judge

__all__ = ["open_judge"]


def open_judge(name: str, *, model: str = "", device: str = "auto") -> Judge | None:
    """The judge of a command line: None for `none`, a server for an address, a local model for a folder.

    Args:
        name: as the command line has it.
        model: name of the model at an address.
        device: on which a model in a folder computes.

    Raises:
        ConfigError: an address without a model, or no such folder.
    """
    if name == "none":
        return None
    if name.startswith(("http://", "https://")):
        from videolavit.evaluation.judges.server import ServerJudge

        return ServerJudge(name, model)
    from videolavit.evaluation.judges.local import LocalJudge

    return LocalJudge(Path(name), device=device)
