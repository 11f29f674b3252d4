"""Measures of tasks in the world of things; the judge says what is to be seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from videolavit.data.things.captions import captions, image_captions, motion_captions
from videolavit.data.things.matching import caption_questions
from videolavit.data.things.questions import Question, questions
from videolavit.data.things.scene import Scene
from videolavit.evaluation.adapter import ModelAdapter
from videolavit.evaluation.question_tasks import answers_about, are_right, by_topic
from videolavit.evaluation.tasks import Result
from videolavit.evaluation.things.judge import Verdict, judge_image, judge_video
from videolavit.evaluation.things.open_words import Said, said_in
from videolavit.evaluation.things.samples import ThingsSample
from videolavit.video.motion.warp import warp
from videolavit.video.similarity import psnr_db

__all__ = [
    "captions_or_not",
    "image_to_video",
    "motion_questions",
    "questions_on_image",
    "questions_on_video",
    "reconstructed_keyframes",
    "text_to_image",
    "text_to_video",
    "video_detokenizer",
]

MOTION_TOPICS = ("motion", "direction", "speed", "camera")


def text_to_image(model: ModelAdapter, samples: Sequence[ThingsSample]) -> list[Result]:
    """True if an image shows the things and the place of its caption."""
    prompts = [image_captions(sample.scene, sample.seed, 1)[0] for sample in samples]
    images = model.generate_images(prompts, [sample.seed for sample in samples])
    results: list[Result] = []
    for sample, prompt, image in zip(samples, prompts, images, strict=True):
        verdict, said = judged(image[None], sample, prompt)
        place = verdict.place or not said.place
        results.append({"thing and place": verdict.named and place, **_seen(verdict, said)})
    return results


def text_to_video(model: ModelAdapter, samples: Sequence[ThingsSample]) -> list[Result]:
    """True if a video shows the things and motions of its caption, clean in every frame."""
    prompts = [captions(sample.scene, sample.seed, 1)[0] for sample in samples]
    videos = model.generate_videos(prompts, [sample.seed for sample in samples])
    results: list[Result] = []
    for sample, prompt, video in zip(samples, prompts, videos, strict=True):
        verdict, said = judged(video, sample, prompt)
        seen = _seen(verdict, said)
        right = seen["thing"] and seen["motion"] and seen["clean"]
        results.append({"thing, motion and clean": right, **seen})
    return results


def image_to_video(model: ModelAdapter, samples: Sequence[ThingsSample]) -> list[Result]:
    """True if the thing of a given image moves as a text says, and stays clean."""
    prompts = [motion_captions(sample.scene, sample.seed, 1)[0] for sample in samples]
    images = [sample.first_frame for sample in samples]
    videos = model.generate_videos(prompts, [sample.seed for sample in samples], images)
    results: list[Result] = []
    for sample, prompt, video in zip(samples, prompts, videos, strict=True):
        verdict, said = judged(video, sample, prompt)
        seen = _seen(verdict, said)
        results.append({"motion and clean": seen["motion"] and seen["clean"], **seen})
    return results


def questions_on_image(model: ModelAdapter, sample: ThingsSample) -> Result:
    """All questions that the first frame answers, by topic."""
    asked = [question for question in _asked(sample) if question.about_image]
    return by_topic(asked, answers_about(model, asked, image=sample.first_frame))


def questions_on_video(model: ModelAdapter, sample: ThingsSample) -> Result:
    """All questions on a video, by topic."""
    asked = _asked(sample)
    return by_topic(asked, answers_about(model, asked, video=sample.frames))


def captions_or_not(model: ModelAdapter, sample: ThingsSample) -> Result:
    """Questions on whether a caption is true, of the first frame and of the video; half of the captions are."""
    asked = caption_questions(sample.scene, sample.seed, sample.num_things)
    of_image = [question for question in asked if question.about_image]
    of_video = [question for question in asked if not question.about_image]
    image = are_right(of_image, answers_about(model, of_image, image=sample.first_frame))
    video = are_right(of_video, answers_about(model, of_video, video=sample.frames))
    return {"all": image + video, "of the image": image, "of the video": video}


def motion_questions(model: ModelAdapter, sample: ThingsSample) -> Result:
    """Questions on motion, about the video and about its keyframe alone: what motion ids are good for."""
    asked = [question for question in _asked(sample) if question.topic in MOTION_TOPICS]
    seen = are_right(asked, answers_about(model, asked, video=sample.frames))
    guessed = are_right(asked, answers_about(model, asked, image=sample.first_frame))
    fall = [100.0 * (one - other) for one, other in zip(seen, guessed, strict=True)]
    return {"with motion ids": seen, "without motion ids": guessed, "fall in points": fall}


def reconstructed_keyframes(model: ModelAdapter, sample: ThingsSample) -> Result:
    """Recognition of an image that went through its ids."""
    (count,) = model.visual_counts([sample.first_frame])
    shown = model.reconstruct_image(sample.first_frame, sample.seed)
    verdict = judge_image(shown, sample.scene, sample.sources, num_things=sample.num_things)
    return {
        "thing": verdict.named,
        "place": verdict.place,
        "clean": verdict.clean,
        "ids": float(count),
        "PSNR, dB": psnr_db(shown, sample.first_frame),
    }


def video_detokenizer(model: ModelAdapter, sample: ThingsSample) -> Result | None:
    """Frames made of the true keyframe and its motion from ids, and from true motion, against plain warping."""
    if sample.record is None:
        return None
    keyframe, true_motion = sample.record.keyframes[0], sample.record.motion_of(0)
    motion, truth = model.reconstruct_motion(true_motion), sample.frames[: true_motion.num_frames]
    made, warped = model.decode_clip(keyframe, motion, sample.seed), warp(keyframe, motion)
    best = model.decode_clip(keyframe, true_motion, sample.seed)
    verdict = judge_video(best, sample.scene, sample.sources, num_things=sample.num_things)
    return {
        "PSNR, dB": psnr_db(made, truth),
        "PSNR of warp, dB": psnr_db(warped, truth),
        "PSNR above warp, dB": psnr_db(made, truth) - psnr_db(warped, truth),
        "clean from true motion": verdict.clean,
    }


def judged(frames: np.ndarray, sample: ThingsSample, prompt: str) -> tuple[Verdict, Said]:
    """The verdict on an image, as one frame, or a video; where the prompt leaves the time open, either is right."""
    said = said_in(prompt, sample.scene)
    verdicts = [_judged(frames, sample, sample.scene)]
    if not said.time:
        view = replace(sample.scene.view, night=not sample.scene.view.night)
        verdicts.append(_judged(frames, sample, replace(sample.scene, view=view)))
    return max(verdicts, key=lambda verdict: (verdict.named, verdict.clean, verdict.moves, verdict.place)), said


def _judged(frames: np.ndarray, sample: ThingsSample, scene: Scene) -> Verdict:
    if len(frames) == 1:
        return judge_image(frames[0], scene, sample.sources, num_things=sample.num_things)
    return judge_video(frames, scene, sample.sources, num_things=sample.num_things)


def _seen(verdict: Verdict, said: Said) -> dict[str, bool]:
    moves = all(one.motion and (one.speed or not said.speed) and one.animated for one in verdict.things)
    return {
        "thing": verdict.named,
        "place": verdict.place or not said.place,
        "size": all(one.size for one in verdict.things) or not said.size,
        "motion": moves,
        "camera": verdict.camera or not said.camera,
        "clean": verdict.clean,
    }


def _asked(sample: ThingsSample) -> list[Question]:
    return questions(sample.scene, sample.seed, sample.num_things)
