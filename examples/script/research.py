"""What the stand-in model says in the research chain.

The summaries are made from the passages it is given. One passage is met with "too many requests" at the first try, as
happens when several requests leave at the same time.
"""

from examples.script.base import Asked, Reply, Scene, best_sentences, first, words

QUERIES = (
    Scene("belt", ["belt drive chain commuter price winter maintenance losses"]),
    Scene("tyre|tire", ["wider tyres rolling resistance pressure smooth rough roads"]),
    Scene("salt|winter", ["winter salt slush chain battery cold rinse water sealant"]),
    Scene("tubeless|puncture", ["tubeless sealant puncture tube winter protection"]),
    Scene("car\\b|cargo", ["cargo bike household second car trips children school"]),
)

ANSWERS = (
    Scene(
        "belt",
        [
            "**Yes, for most commuters who keep the bicycle at least four years.**\n\nIn the five-winter study a belt "
            "ran 21,000 km without oil while chains were replaced every 3,100 km, and its price was earned back in "
            "the fourth year (Belt drives, five winters on). In the laboratory a clean chain loses less power, but "
            "commuters' chains are not clean, and against a dirty chain the belt wins at any power (Losses in the "
            "drivetrain).\n\nTwo things speak against it. The frame has to be built for a belt, so a bicycle that is "
            "already there rarely qualifies (What a belt needs from a frame). And a broken belt ends the ride: nine "
            "of sixty riders went back for that reason.\n\nAdvice for the shop: sell it with the bicycle, not as a "
            "conversion."
        ],
    ),
    Scene(
        "tyre|tire",
        [
            "**No, wider tyres are not slower on real roads.**\n\nBetween 28 and 40 mm no difference could be measured "
            "at 25 km/h on smooth asphalt, and on cobbles the wider tyre was three per cent ahead (Wider tyres do not "
            "roll slower). What does matter is pressure: from 5 down to 3.5 bar a 40 mm tyre lost nothing on smooth "
            "roads and gained four per cent on rough ones (Pressure matters more than width).\n\nAdvice for the shop: "
            "let down some air before the test ride."
        ],
    ),
    Scene(
        "salt|winter",
        [
            "**Rinse cold, carry the battery inside, and expect to buy a chain in spring.**\n\nSalt keeps parts wet "
            "after the road has dried; in slush an unwashed chain was worn out after 900 km, and a rinse with cold "
            "water doubled that (Salt). Warm water does harm, since it works the salt into the bearings. A battery "
            "left outside lost 22 % of its range at minus five degrees, one from indoors eight (Batteries in the "
            "cold).\n\nWhoever has no time for any of this should think about a belt."
        ],
    ),
    Scene(
        "tubeless|puncture",
        [
            "**Only for people who look after it.**\n\nTubeless closed four of five holes without the rider noticing "
            "(Punctures in numbers). But the sealant dries within five months, freezes below minus fifteen degrees, "
            "and nobody in the study topped it up (Tubeless for people who hate work).\n\nFor a commuter whose "
            "bicycle stands outside, a tyre with a protection belt and a tube is the dull and better answer."
        ],
    ),
    Scene(
        "car\\b|cargo",
        [
            "**Often the second car, rarely the first.**\n\nOf 140 households 58 gave up a car within two years, and "
            "they rode 2,300 km a year (Cargo bikes and the second car). Those who kept it named trips beyond 15 km "
            "and the missing safe place to leave the bike.\n\nBefore a family buys, ask where it will stand at night."
        ],
    ),
)

BUSY_PASSAGE = "A clean, oiled chain loses about two per cent"


def play(asked: Asked) -> Reply | None:
    """Reply as the library's model, when the request is one of its chain's."""
    if "bicycle shop's library" not in asked.system:
        return None
    question, _, material = asked.user.partition("\n\n")
    if "search words" in asked.system:
        return first(QUERIES, asked) or Reply(text=" ".join(sorted(words(question))))
    if "Summarise" in asked.system:
        if asked.attempt == 0 and BUSY_PASSAGE in material:
            problem = "Rate limit reached for requests per second. Please try again in 1 s."
            return Reply(status=429, problem=problem, retry_after=1)
        return Reply(text=" ".join(best_sentences(material, question, 2)))
    known = first([Scene(scene.asked, scene.lines) for scene in ANSWERS], Asked(asked.system, question))
    return known or Reply(text="From the library:\n\n" + "\n".join(f"- {note}" for note in material.split("\n\n")))
