"""MSVD-QA, MSRVTT-QA and ActivityNet-QA: open questions about videos, graded by a judge, and without one.

Papers report accuracy and a score from 0 to 5 by the protocol of Video-ChatGPT, whose judge model was never pinned:
the same answers moved by 4 to 14 points over two years. So exact match and containment after the VQA normaliser always
stand beside it, and the record names the judge. Question and answer files are joined by id, never by place: a runner
that cut one of them graded most answers against wrong ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from videolavit.data.video_lists import VIDEO_EXTENSIONS
from videolavit.errors import ConfigError
from videolavit.evaluation.files import DataFile, field_of, found_file, read_json
from videolavit.evaluation.metrics.vqa import normalize
from videolavit.evaluation.question_benchmark import Question, QuestionBenchmark

__all__ = ["ActivityNetQa", "MsrvttQa", "MsvdQa"]

ACTIVITYNET_TYPES = ("Motion", "Spatial", "Temporal", "Yes/No", "Color", "Object", "Location", "Number", "Other")
_PACKED = "the Video-ChatGPT repository, quantitative evaluation"


class VideoQa(QuestionBenchmark):
    """Base class of the three; see the text of this module."""

    prompt = "{question}"
    scorer = "exact match and containment after the VQA normaliser"
    max_new_tokens = 1024
    judged = "video-qa"
    plain = ("score (judge)",)
    needs_video_prefix: ClassVar[str] = ""
    """Put before the name of a video in the files that lack it."""

    def read(self, data: Path) -> list[Question]:
        path, answers = (found_file(data, file, self.name) for file in self.files[:2])
        videos = found_file(data, self.files[2], self.name)
        assert path is not None
        assert answers is not None
        assert videos is not None
        known, names = self._answers(answers), _video_names(videos)
        names |= self._other_names(data, names)
        return [
            self._question(entry, path, place, known, partial(_video_file, videos, names))
            for place, entry in enumerate(read_json(path))
        ]

    def _answers(self, path: Path) -> dict[str, Mapping[str, Any]]:
        return {str(field_of(one, "question_id", path, place)): one for place, one in enumerate(read_json(path))}

    def _question(
        self,
        entry: Mapping[str, Any],
        path: Path,
        place: int,
        known: Mapping[str, Mapping[str, Any]],
        file_of: Callable[[str], Path],
    ) -> Question:
        number = str(field_of(entry, "question_id", path, place))
        if number not in known:
            raise ConfigError(
                f"{path}: question {number} has no answer in {self.files[1].name}; both must be of one split"
            )
        name = f"{self.needs_video_prefix}{field_of(entry, 'video_name', path, place)}"
        kind = known[number].get("type")
        return Question(
            id=number,
            prompts=(self.prompt.format(question=field_of(entry, "question", path, place)),),
            video=file_of(name),
            group=name,
            truth=str(field_of(known[number], "answer", path, number)),
            facts={"question": entry["question"]} | ({} if kind is None else {"type": self._type(kind)}),
        )

    def _other_names(self, data: Path, names: Mapping[str, Path]) -> dict[str, Path]:
        """Further names by which questions may call the videos of a folder."""
        return {}

    def _type(self, kind: Any) -> str:
        return str(kind)

    def score(self, question: Question, answers: Sequence[str]) -> Mapping[str, Any]:
        said, truth = normalize(answers[0]), normalize(question.truth)
        exact = said == truth
        kind = {f"exact match, {question.facts['type']}": exact} if "type" in question.facts else {}
        return {"exact match": exact, "containment": f" {truth} " in f" {said} " and bool(truth), **kind}


class MsvdQa(VideoQa):
    """MSVD-QA, test split."""

    name = "msvd_qa"
    about = "questions about short web videos, one word each"
    files = (
        DataFile(name="test_q.json", holds="13 157 questions", source=_PACKED),
        DataFile(name="test_a.json", holds="an answer to each", source=_PACKED),
        DataFile(name="videos", holds="YouTubeClips, 520 test videos", source="the MSVD page of its authors"),
        DataFile(
            name="youtube_mapping.txt",
            holds="lines of NAME vidN, where questions call videos by number",
            source="the MSVD-QA page of its authors",
            optional=True,
        ),
    )
    official_count = 13_157

    def _other_names(self, data: Path, names: Mapping[str, Path]) -> dict[str, Path]:
        path = found_file(data, self.files[3], self.name)
        pairs = [] if path is None else [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
        if wrong := [pair for pair in pairs if len(pair) not in (0, 2)]:
            raise ConfigError(
                f"{path}: expected the name of a video and vidN on each line, found {' '.join(wrong[0])!r}"
            )
        numbers = [(name, number) for name, number in filter(None, pairs) if name in names]
        return {spelled: names[name] for name, one in numbers for spelled in (one, one.replace("vid", "video"))}


class MsrvttQa(VideoQa):
    """MSRVTT-QA, test split."""

    name = "msrvtt_qa"
    about = "questions about web videos, one word each"
    files = (
        DataFile(name="test_q.json", holds="72 821 questions", source=_PACKED),
        DataFile(name="test_a.json", holds="an answer to each", source=_PACKED),
        DataFile(name="videos", holds="2 990 test videos", source="the MSR-VTT page of its authors"),
    )
    official_count = 72_821


class ActivityNetQa(VideoQa):
    """ActivityNet-QA, test split."""

    name = "activitynet_qa"
    about = "questions about long videos, nine types"
    files = (
        DataFile(name="test_q.json", holds="8 000 questions", source="the activitynet-qa repository of MILVLG"),
        DataFile(name="test_a.json", holds="an answer to each", source="the activitynet-qa repository of MILVLG"),
        DataFile(name="videos", holds="800 test videos, v_NAME.mp4", source="activity-net.org, on request"),
    )
    official_count = 8_000

    def _type(self, kind: Any) -> str:
        return ACTIVITYNET_TYPES[int(kind)]


def _video_names(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted(folder.rglob("*")) if path.suffix.lower() in VIDEO_EXTENSIONS}


def _video_file(folder: Path, names: Mapping[str, Path], name: str) -> Path:
    """File of a video, whatever its extension, with or without ActivityNet's `v_`; a missing one fails when asked."""
    return names.get(name) or names.get(f"v_{name}") or folder / f"{name}.mp4"
