"""What the stand-in model says in the conversations."""

from examples.script.base import Asked, Reply, Scene, first

TITLES = (
    Scene("hill", ["A bicycle for the hill"]),
    Scene("vuelta", ["Una vuelta con niños"]),
)

REPLIES = (
    Scene(
        "8 km each way",
        [
            "Eight kilometres is a lovely distance: long enough to wake up, short enough to do every day. The hill "
            "decides more than anything else.\n\n- **Gears** low enough that you can sit and spin. On a hub with "
            "eight gears, ask for the bigger sprocket.\n- **Brakes** that work wet: disc, or a good drum.\n- **Tyres** "
            "of 37 to 42 mm.\n\nHow tall are you, and where will it stand at night?"
        ],
    ),
    Scene(
        "1.63 m",
        [
            "A gate, I know that feeling: the frame was too long, not too high. At 1.63 m you want a frame with a "
            "*reach* around 370 mm; the number on the seat tube tells you next to nothing. A stem of 60 mm instead "
            "of 90 often rescues a bicycle that is nearly right.\n\nSit on it, hands on the grips, elbows slightly "
            "bent. If you see the front hub behind the handlebar, it is too long."
        ],
    ),
    Scene(
        "if it rains",
        [
            "Then you get wet a little and dry a lot. Long mudguards with a flap at the front keep more of you clean "
            "than any trousers do.\n\nFor the meetings: a jacket that is longer at the back, thin overtrousers in the "
            "bag, and shoes that live at the office. Eight kilometres in rain take 26 minutes instead of 24."
        ],
    ),
    Scene(
        "test ride",
        [
            "Take this along:\n\n1. The hill. Any bicycle is nice on the flat.\n2. The bag you really carry, with the "
            "laptop in it.\n3. One emergency stop from 25 km/h, on an empty street.\n4. Ride with one hand: does it "
            "stay straight?\n5. Carry it up five steps.\n\nAnd ride it for half an hour. After ten minutes "
            "everything is comfortable."
        ],
    ),
    Scene(
        "vuelta",
        [
            "¡Claro! Desde Friburgo iría por el Dreisam hacia el este, hasta Kirchzarten: carril separado, casi llano "
            "y con sombra. Son 11 km de ida.\n\n¿Qué edad tienen los niños y quién se cansa antes?"
        ],
    ),
    Scene(
        "quince kil",
        [
            "Entonces lo acortamos: hasta Ebnet y vuelta, 13 km en total, con una parada larga en la playa de "
            "guijarros junto al puente. Los niños no se cansan de pedalear, se cansan de no parar.\n\nSi al final "
            "queda fuerza, hay helado en la Schwabentorplatz."
        ],
    ),
    Scene(
        "mochila",
        [
            "Poco: agua (medio litro por niño), un parche y una bomba, una chaqueta ligera para cada uno y algo "
            "salado. Y una cuerda de dos metros: en la última subida, un tirón suave hace milagros.\n\n¡Buen viaje!"
        ],
    ),
)


def play(asked: Asked) -> Reply | None:
    """Reply as the shop's adviser, when the request is one of its conversations'."""
    if "Give this conversation a title" in asked.system:
        return first(TITLES, asked) or Reply(text=" ".join(asked.user.split()[:5]))
    if "adviser of a bicycle shop" in asked.system:
        return first(REPLIES, asked)
    return None
