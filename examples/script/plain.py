"""Replies for requests that no chain's script knows: honest, and made of what was asked."""

from examples.script.base import Asked, Reply, best_sentences

INTRODUCTION = (
    "I am the scripted stand-in model that ships with the examples, so I only know a few conversations by heart. "
    "Set OPENAI_BASE_URL and OPENAI_API_KEY to talk to a real model."
)


def play(asked: Asked) -> Reply:
    """Answer with what the tools found, else with the closest sentences of the material, else with who speaks."""
    if asked.results:
        return Reply(text="This is what I found:\n\n" + "\n".join(asked.results))
    question, _, material = asked.user.partition("\n\n")
    if material.strip():
        return Reply(text=" ".join(best_sentences(material, question, 2)))
    return Reply(text=INTRODUCTION)
