"""Translate a shop's text into several languages in threads, review each translation, and mend it once.

Run it with `python -m examples.translate_review --text jacket`. Each language runs in a thread of its own, and still
stands under the one chain it belongs to, because `stepscope.propagate` takes the current step along. The recall
notice (`--text recall`) fails: one language loses a number twice, and nobody wants that in a safety text.
"""

import json
import re
from concurrent.futures import ThreadPoolExecutor

import stepscope
from examples import kit, llm
from examples.llm import Json

TEXTS = {
    "larch": "The Larch 28 is the bicycle for every day. It weighs 13.4 kg, carries 25 kg on its rack, and its eight "
    "gears ask for oil once a year. Lights and mudguards are on it from the start. You only have to get on.",
    "jacket": "Our rain jacket stays dry for 4 hours in steady rain, and it breathes, which matters more. The back is "
    "cut 9 cm longer, so that you sit on cloth and not on water. It folds into its own pocket.",
    "recall": "Safety notice: spokes in front wheels of the Alder from lot 7 can loosen. Please stop riding the "
    "bicycle. Bring it to us by 30 June; we tighten the spokes to 5 Nm within 20 minutes, and it costs you nothing.",
}
LANGUAGES = ("German", "French", "Spanish", "Japanese")
GOOD_ENOUGH = 0.7


class TranslationRejected(Exception):
    """A translation was still wrong after it was mended."""


def translate(text: str, language: str, objection: str = "") -> str:
    """Ask the model for a translation, with the reviewer's objection when there is one."""
    system = f"You translate the texts of a bicycle shop into {language}. Keep every number. Reply with the text only."
    user = text if not objection else f"{text}\n\nThe reviewer objected to the last version: {objection}"
    return llm.chat("translate", [llm.system(system), llm.user(user)], stream=True).text


@stepscope.step(kind="evaluator")
def check_numbers(text: str, translation: str) -> dict[str, Json]:
    """Score 1 when every number of the text stands in its translation, else 0, and say what is missing."""
    kept = {number.replace(",", ".") for number in re.findall(r"\d+(?:[.,]\d+)?", translation)}
    missing: list[Json] = [number for number in re.findall(r"\d+(?:\.\d+)?", text) if number not in kept]
    return {"score": 0.0 if missing else 1.0, "missing": missing}


@stepscope.step(kind="evaluator")
def judge_style(translation: str, language: str) -> dict[str, Json]:
    """Let the model judge how the translation reads, from 0 to 1."""
    form = '{"score": 0 to 1, "comment": "one sentence"}'
    system = f"You judge {language} texts of a bicycle shop. Reply with JSON: {form}."
    reply = llm.chat("judge", [llm.system(system), llm.user(translation)], max_tokens=80, json_reply=True)
    try:
        verdict = json.loads(reply.text)
        return {"score": float(verdict["score"]), "comment": str(verdict.get("comment", ""))}
    except (ValueError, KeyError, TypeError) as problem:
        return {"score": 0.0, "comment": f"the judge's reply could not be read: {problem}"}


def translate_and_review(text: str, language: str) -> str:
    """Translate into one language; a version that fails the review gets one second chance."""
    with stepscope.step(f"{language} version") as step:
        step.input = text
        objection = ""
        for attempt in (1, 2):
            translation = translate(text, language, objection)
            numbers = check_numbers(text, translation)
            style = judge_style(translation, language)
            step.metadata = {"language": language, "attempts": attempt, "style": style["score"]}
            if numbers["score"] == 1.0 and float(str(style["score"])) >= GOOD_ENOUGH:
                step.output = translation
                return translation
            objection = (
                f"these numbers are missing: {numbers['missing']}" if numbers["missing"] else str(style["comment"])
            )
        raise TranslationRejected(f"{language}: {objection}")


@stepscope.step
def publish(text: str, languages: tuple[str, ...] = LANGUAGES) -> dict[str, str]:
    """Translate a text into all languages at once; nothing is published unless every language passes its review."""
    with ThreadPoolExecutor(max_workers=len(languages)) as threads:
        work = stepscope.propagate(translate_and_review)
        running = {language: threads.submit(work, text, language) for language in languages}
        return {language: future.result() for language, future in running.items()}


def serve(text: str) -> str:
    """Translate a text for the shop's pages."""
    with stepscope.tags("shop texts"):
        return "\n\n".join(f"{language}: {translation}" for language, translation in publish(text).items())


def main() -> int:
    """Translate one of the shop's texts from the command line."""
    options = kit.options(__doc__, text="larch")
    text = TEXTS.get(options.text, options.text)
    stepscope.init(project=kit.PROJECT)
    return kit.show(options, lambda: serve(text))


if __name__ == "__main__":
    raise SystemExit(main())
