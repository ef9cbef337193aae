"""What the stand-in model says in the translation chain, mistakes included."""

import re

from examples.script.base import Asked, Reply, tell

LARCH = {
    "German": "Das Larch 28 ist das Fahrrad für jeden Tag. Es wiegt 13,4 kg, trägt 25 kg auf dem Gepäckträger, und "
    "seine acht Gänge wollen einmal im Jahr Öl. Licht und Schutzbleche sind von Anfang an dran. Sie "
    "müssen nur noch aufsteigen.",
    "French": "Le Larch 28 est le vélo de tous les jours. Il pèse 13,4 kg, porte 25 kg sur son porte-bagages, et "
    "ses huit vitesses demandent de l’huile une fois par an. Éclairage et garde-boue sont montés "
    "d’origine. Il ne vous reste plus qu’à monter dessus.",
    "Spanish": "La Larch 28 es la bicicleta para todos los días. Pesa 13,4 kg, lleva 25 kg en el portaequipajes y "
    "sus ocho marchas piden aceite una vez al año. Luces y guardabarros vienen puestos. Solo falta "
    "subirse.",
    "Japanese": "「Larch 28」は、毎日のための自転車です。重さは13.4 kg、荷台には25 kgまで積めます。8段の変速機に油を"
    "さすのは年に一度だけ。ライトも泥よけも、最初から付いています。あとは、乗るだけです。",
}
JACKET = {
    "German": "Unsere Regenjacke bleibt 4 Stunden im Dauerregen trocken, und sie atmet, was noch wichtiger ist. "
    "Der Rücken ist 9 cm länger geschnitten, damit Sie auf Stoff sitzen und nicht auf Wasser. Sie passt "
    "in ihre eigene Tasche.",
    "French": "Notre veste de pluie reste sèche pendant 4 heures sous une pluie continue, et elle respire, ce qui "
    "compte davantage. Le dos est plus long de 9 cm : vous êtes assis sur du tissu et non sur de l’eau. "
    "Elle se plie dans sa propre poche.",
    "Spanish": "Nuestra chaqueta aguanta seca 4 horas de lluvia constante y transpira, que importa más. La espalda "
    "es 9 cm más larga, para sentarse sobre tela y no sobre agua. Se dobla dentro de su propio bolsillo.",
    "Japanese": "このレインジャケットは、降り続く雨の中でも4時間は濡れません。そして何より、蒸れません。背中を9 cm長"
    "く仕立てたので、水の上ではなく布の上に座れます。たためば、自分のポケットに収まります。",
}
RECALL = {
    "German": "Sicherheitshinweis: Speichen in Vorderrädern des Alder aus Los 7 können sich lockern. Bitte fahren "
    "Sie das Rad nicht mehr. Bringen Sie es bis zum 30. Juni zu uns; wir ziehen die Speichen in 20 "
    "Minuten mit 5 Nm nach, und es kostet Sie nichts.",
    "French": "Avis de sécurité : les rayons des roues avant de l’Alder du lot 7 peuvent se desserrer. Cessez "
    "d’utiliser le vélo. Apportez-le-nous avant le 30 juin ; nous resserrons les rayons à 5 Nm en 20 "
    "minutes, et cela ne vous coûte rien.",
    "Spanish": "Aviso de seguridad: los radios de las ruedas delanteras de la Alder del lote 7 pueden aflojarse. "
    "Deje de usar la bicicleta. Tráigala antes del 30 de junio; apretamos los radios a 5 Nm en 20 "
    "minutos, y no le cuesta nada.",
    "Japanese": "安全に関するお知らせ：ロット7の「Alder」前輪のスポークが緩むことがあります。ご乗車をおやめください。"
    "6月30日までにお持ちいただければ、20分ほどで正しい強さに締め直します。費用はかかりません。",
}
TEXTS = {"Larch 28": LARCH, "rain jacket": JACKET, "lot 7": RECALL}

COMMENTS = {
    "German": (0.92, "Liest sich wie vom Laden selbst geschrieben."),
    "French": (0.88, "Naturel ; la dernière phrase pourrait être plus courte."),
    "Spanish": (0.9, "Suena cercano, como debe hablar una tienda."),
    "Japanese": (0.94, "簡潔で、読み心地がよい。"),
}


def play(asked: Asked) -> Reply | None:
    """Reply as the shop's translator or judge, when the request is one of its chain's."""
    language = re.search(r"(German|French|Spanish|Japanese)", asked.system)
    if language is None:
        return None
    if "You translate the texts of a bicycle shop" in asked.system:
        return translation(asked.user, language[1])
    if "You judge" in asked.system and "texts of a bicycle shop" in asked.system:
        score, comment = COMMENTS[language[1]]
        return Reply(text=tell(score=score, comment=comment))
    return None


def translation(text: str, language: str) -> Reply | None:
    """Translate one of the shop's texts; the first German version swaps two digits of the weight."""
    known = next((versions[language] for name, versions in TEXTS.items() if name in text), None)
    if known is None:
        return None
    if "The reviewer objected" not in text and language == "German":
        known = known.replace("13,4", "14,3")
    return Reply(text=known)
