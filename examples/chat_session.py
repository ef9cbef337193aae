"""A conversation of several turns: each turn is a trace, and all of them share a session and a user.

Run it with `python -m examples.chat_session`, or with `--conversation ride` for one in Spanish. Every turn sends the
whole conversation again, as chat models want it, so the input of the model grows from turn to turn.
"""

import stepscope
from examples import clock, kit, llm
from examples.llm import Message

CONVERSATIONS = {
    "first-bike": (
        "mara",
        (
            "I want to start cycling to work, 8 km each way, one long hill. What should I look for?",
            "I am 1.63 m tall and everything I tried felt like riding a gate.",
            "And if it rains? I have to look decent in meetings.",
            "Good. What would you put on the list for my test ride on Saturday?",
        ),
    ),
    "ride": (
        "lucia",
        (
            "¿Me recomiendas una vuelta de unas tres horas desde Friburgo, con niños?",
            "El pequeño tiene seis años y se cansa a los quince kilómetros.",
            "Perfecto. ¿Qué llevo en la mochila?",
        ),
    ),
}
SYSTEM = (
    "You are the adviser of a bicycle shop. You talk like a friendly mechanic: concrete, short, no sales talk. "
    "Ask back when you need to know more. Answer in the language you are asked in."
)


class Conversation:
    """A talk with one user; it remembers what was said."""

    def __init__(self, session_id: str, user_id: str) -> None:
        """Begin an empty conversation."""
        self.session_id = session_id
        self.user_id = user_id
        self.messages: list[Message] = [llm.system(SYSTEM)]
        self.title = ""

    def turn(self, question: str) -> str:
        """Take one turn: a trace of its own, in the session of this conversation."""
        with stepscope.session(self.session_id, user=self.user_id), stepscope.step("chat_turn") as step:
            step.input = question
            step.metadata = {"turn": sum(message["role"] == "user" for message in self.messages) + 1}
            self.messages.append(llm.user(question))
            reply = llm.chat("reply", self.messages, stream=True, temperature=0.6)
            self.messages.append(reply.message)
            if not self.title:
                self.title = self.name_it(question)
            step.output = reply.text
            return reply.text

    @staticmethod
    def name_it(question: str) -> str:
        """Give the conversation a title, as chat windows do."""
        system = "Give this conversation a title of at most five words, in its own language."
        return llm.chat("name_conversation", [llm.system(system), llm.user(question)], max_tokens=20).text


def talk(conversation: str, session_id: str) -> str:
    """Play the user's side of a conversation, turn by turn; give back the last answer."""
    user, questions = CONVERSATIONS[conversation]
    chat = Conversation(session_id, user)
    answer = ""
    for question in questions:
        answer = chat.turn(question)
        clock.pause(1.5)  # a person reads the answer
    return answer


def main() -> int:
    """Play one conversation from the command line."""
    options = kit.options(__doc__, conversation="first-bike", session="")
    if options.conversation not in CONVERSATIONS:
        raise SystemExit(f"There is no conversation {options.conversation!r}; try one of: {', '.join(CONVERSATIONS)}.")
    stepscope.init(project=kit.PROJECT)
    session = options.session or kit.new_session()
    return kit.show(options, lambda: talk(options.conversation, session))


if __name__ == "__main__":
    raise SystemExit(main())
