"""Small sets in the official formats of benchmarks, made of scenes of the shapes world: never anybody's data."""

from __future__ import annotations

import base64
import io
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from videolavit.data.shapes import Question, image_questions, questions, render, sample_scene
from videolavit.data.shapes.scene import COLOURS, SHAPES, Scene
from videolavit.evaluation.metrics.yes_no import COGNITION, PERCEPTION
from videolavit.video import write_video

__all__ = ["WRITERS", "write_official"]

SEEDS = (900_000_001, 900_000_002, 900_000_003)


@cache
def scenes() -> tuple[Scene, ...]:
    return tuple(sample_scene(seed) for seed in SEEDS)


@cache
def frames(index: int) -> np.ndarray:
    return render(scenes()[index])


@cache
def about_image(index: int) -> tuple[Question, ...]:
    return tuple(image_questions(scenes()[index], SEEDS[index]))


@cache
def about_video(index: int) -> tuple[Question, ...]:
    return tuple(questions(scenes()[index], SEEDS[index]))


def write_image(path: Path, index: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(frames(index)[0]).save(path)


def write_clip(path: Path, index: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(frames(index), path)


def write_json(path: Path, document: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document), encoding="utf-8")


def choices(index: int, count: int = 4) -> tuple[str, list[str], int]:
    """A question about the colour or the shape, its options, and the number of the right one."""
    (actor,) = scenes()[index].actors
    if count > len(SHAPES):
        options, right = list(COLOURS[:count]), actor.colour
        options = options if right in options else [*options[:-1], right]
        return "What colour is the object?", options, options.index(right)
    options = list(SHAPES)[:count]
    options = options if actor.shape in options else [*options[:-1], actor.shape]
    return "What shape is the object?", options, options.index(actor.shape)


def write_vqav2(folder: Path) -> None:
    asked, annotated = [], []
    for index in range(len(SEEDS)):
        write_image(folder / f"val2014/COCO_val2014_{index + 1:012d}.jpg".replace(".jpg", ".png"), index)
        (folder / f"val2014/COCO_val2014_{index + 1:012d}.png").rename(
            folder / f"val2014/COCO_val2014_{index + 1:012d}.jpg"
        )
        for place, question in enumerate(about_image(index)[:3]):
            number = 1000 * (index + 1) + place
            asked.append({"image_id": index + 1, "question": question.text, "question_id": number})
            people = [question.answer] * 8 + ["I do not know"] * 2
            answers = [
                {"answer_id": who + 1, "answer": said, "answer_confidence": "yes"} for who, said in enumerate(people)
            ]
            annotated.append(
                {"question_id": number, "image_id": index + 1, "question_type": "what", "answer_type": "other"}
                | {"multiple_choice_answer": question.answer, "answers": answers}
            )
    write_json(folder / "v2_OpenEnded_mscoco_val2014_questions.json", {"questions": asked})
    write_json(folder / "v2_mscoco_val2014_annotations.json", {"annotations": annotated})


def write_gqa(folder: Path) -> None:
    document = {}
    for index in range(len(SEEDS)):
        write_image(folder / f"images/n{index}.jpg", index)
        for place, question in enumerate(about_image(index)[:3]):
            document[f"20{index}{place}"] = {
                "question": question.text,
                "answer": question.answer,
                "fullAnswer": f"It is {question.answer}.",
                "imageId": f"n{index}",
                "types": {"structural": "query" if place else "verify", "semantic": "attr"},
                "entailed": [f"20{index}{other}" for other in range(3)],
                "isBalanced": True,
            }
    write_json(folder / "testdev_balanced_questions.json", document)


def write_vizwiz(folder: Path) -> None:
    entries = []
    for index in range(len(SEEDS)):
        name = f"VizWiz_val_{index:08d}.jpg"
        write_image(folder / "val" / name, index)
        question = about_image(index)[0]
        answers = [{"answer": question.answer, "answer_confidence": "yes"}] * 10
        entries.append({"image": name, "question": question.text, "answers": answers, "answerable": 1})
    write_json(folder / "val.json", entries)


def write_scienceqa(folder: Path) -> None:
    problems = {}
    for index in range(len(SEEDS)):
        text, options, right = choices(index)
        write_image(folder / f"images/test/{index + 10}/image.png", index)
        problems[str(index + 10)] = {
            "question": text,
            "choices": options,
            "answer": right,
            "hint": "Look at the image.",
        }
        problems[str(index + 10)] |= {"image": "image.png", "subject": "natural science", "split": "test"}
    problems["99"] = {"question": "1 + 1?", "choices": ["1", "2"], "answer": 1, "hint": "", "image": None}
    write_json(folder / "problems.json", problems)
    write_json(folder / "pid_splits.json", {"test": list(problems), "val": []})


def write_mme(folder: Path) -> None:
    for name in (*PERCEPTION[:2], COGNITION[0]):
        for index in range(len(SEEDS)):
            (actor,) = scenes()[index].actors
            other = next(colour for colour in COLOURS if colour != actor.colour)
            write_image(folder / name / f"{index:04d}.jpg", index)
            lines = [
                f"Is the object {colour}? Please answer yes or no.\t{answer}"
                for colour, answer in ((actor.colour, "Yes"), (other, "No"))
            ]
            (folder / name / f"{index:04d}.txt").write_text("\n".join(lines) + "\n")


def write_mmbench(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rows = [["index", "hint", "question", "A", "B", "C", "D", "answer", "category", "l2-category", "image"]]
    for index in range(len(SEEDS)):
        text, options, right = choices(index)
        file = io.BytesIO()
        Image.fromarray(frames(index)[0]).save(file, "PNG")
        image = base64.b64encode(file.getvalue()).decode()
        rest = ["attribute_recognition", "finegrained_perception", image]
        for shift in range(len(options)):  # as in the first release, each pass has rows of its own
            moved, place = [*options[shift:], *options[:shift]], (right - shift) % len(options)
            rows.append([str(1_000_000 * shift + index), "", text, *moved, "ABCD"[place], *rest])
    (folder / "mmbench_dev_20230712.tsv").write_text("\n".join("\t".join(row) for row in rows) + "\n")


def write_seed(folder: Path) -> None:
    entries = []
    for index in range(len(SEEDS)):
        text, options, right = choices(index)
        write_image(folder / f"SEED-Bench-image/image_{index}.png", index)
        write_clip(folder / f"SEED-Bench-video/clip_{index}.mp4", index)
        shared = {f"choice_{letter}": option for letter, option in zip("abcd", options, strict=True)}
        shared |= {"question": text, "answer": "ABCD"[right]}
        entries.append({"question_id": f"{index}", "question_type_id": 5, "data_type": "image"} | shared)
        entries[-1] |= {"data_id": f"image_{index}.png"}
        entries.append({"question_id": f"v{index}", "question_type_id": 10, "data_type": "video"} | shared)
        entries[-1] |= {"data_id": f"clip_{index}.mp4", "segment": [0.0, 2.0]}
    write_json(folder / "SEED-Bench.json", {"questions": entries, "question_type": {"Instance Attributes": 5}})


def write_mmvet(folder: Path) -> None:
    document = {}
    for index in range(len(SEEDS)):
        (actor,) = scenes()[index].actors
        write_image(folder / f"images/v1_{index}.png", index)
        truth = f"{actor.colour}<AND>{actor.shape}<OR>{actor.colour} {actor.shape}"
        document[f"v1_{index}"] = {"imagename": f"v1_{index}.png", "question": "What is it?", "answer": truth}
        document[f"v1_{index}"] |= {"capability": ["rec"]}
    write_json(folder / "mm-vet.json", document)


def write_video_qa(folder: Path, *, typed: bool = False, prefix: str = "") -> None:
    asked, answers = [], []
    for index in range(len(SEEDS)):
        write_clip(folder / f"videos/{prefix}clip{index}.mp4", index)
        for place, question in enumerate(about_video(index)[:3]):
            number = f"clip{index}_{place}"
            asked.append({"video_name": f"clip{index}", "question": question.text, "question_id": number})
            answers.append({"answer": question.answer, "question_id": number} | ({"type": place} if typed else {}))
    write_json(folder / "test_q.json", asked)
    write_json(folder / "test_a.json", answers[::-1])  # files are joined by id


def write_activitynet(folder: Path) -> None:
    write_video_qa(folder, typed=True, prefix="v_")


def write_perception_test(folder: Path) -> None:
    document = {}
    for index in range(len(SEEDS)):
        text, options, right = choices(index, 3)
        write_clip(folder / f"videos/video_{index}.mp4", index)
        entry = {"id": 7, "question": text, "options": options, "answer_id": right, "area": "semantics"}
        document[f"video_{index}"] = {"metadata": {}, "mc_question": [entry]}
    write_json(folder / "mc_question_valid.json", document)


def write_egoschema(folder: Path) -> None:
    entries, answers = [], {}
    for index in range(len(SEEDS)):
        text, options, right = choices(index, 5)
        write_clip(folder / f"videos/uid-{index}.mp4", index)
        entries.append({"q_uid": f"uid-{index}", "question": text})
        entries[-1] |= {f"option {number}": option for number, option in enumerate(options)}
        answers[f"uid-{index}"] = right
    write_json(folder / "questions.json", entries)
    write_json(folder / "subset_answers.json", answers)


WRITERS = {
    "vqav2": write_vqav2,
    "gqa": write_gqa,
    "vizwiz": write_vizwiz,
    "scienceqa": write_scienceqa,
    "mme": write_mme,
    "mmbench": write_mmbench,
    "seed": write_seed,
    "mmvet": write_mmvet,
    "msvd_qa": write_video_qa,
    "msrvtt_qa": write_video_qa,
    "activitynet_qa": write_activitynet,
    "perception_test": write_perception_test,
    "egoschema": write_egoschema,
}


def write_official(name: str, folder: Path) -> Path:
    """The small set of a benchmark."""
    WRITERS[name](folder)
    return folder
