"""Lines for the demo, that the routed ocean of the report gets right: some by hand, some from the validation lines; none from a test set."""

LINES: list[tuple[str, list[str]]] = [
    ("Carla: born 07 Mar 1970", ["date"]),
    ("Tanaka: deadline 24th February 2010!", ["date"]),
    ("the box is empty or moved to JANUARY 16, 2014", ["date"]),
    ("lunch at quarter past 1 pm, with Ben", ["time"]),
    ("doors open 8 o'clock in the evening", ["time"]),
    ("Miller: closes at 3:45 pm, one of them is mine for Silva", ["time"]),
    ("call Anna on 0049 (0)30 123-4567", ["phone"]),
    ("new number: +1 (212) 555-0143", ["phone"]),
    ("the bill was 12,50 €", ["money"]),
    ("sold for $1,200, thanks", ["money"]),
    ("tickets are 45 quid", ["money"]),
    ("write to anna dot smith at mail dot org", ["email"]),
    ("e-mail: carla(at)museum(dot)net", ["email"]),
    ("King Louis XIV", ["roman"]),
    ("Henry VIII and Pope Leo XIII", ["roman"]),
    ("pay 99,90 euros, questions to leo dot king at shop dot com", ["money", "email"]),
    ("she ends at 9:30 AM or the team cost 537.80 dollars", ["time", "money"]),
    ("Please note Karin, we ask novak at basari dot net; I ring +81 (796) 577 348?", ["email", "phone"]),
    ("the shop near the station, tickets are 12,61 kronor or we Volume CCCXXXVIII for Paul", ["money", "roman"]),
    ("Please note Emma, Emma: mail me: kumar{at}garden-garden.de, I until May 13, 2037, Vera", ["email", "date"]),
]
