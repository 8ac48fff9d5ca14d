"""The abstracts: one lead sentence and some more for each entity, every fact and link told in one of several ways."""

from __future__ import annotations

import random
from collections.abc import Sequence

from world import COUNTRIES, Entity, World

MONTHS = "January February March April May June July August September October November December".split()

LEADS: dict[str, Sequence[str]] = {
    "river": (
        "{Said} rises in the {source} and flows into {mouth}.",
        "{Said} rises in the {source}, and after many bends it reaches {mouth}.",
        "From its springs in the {source}, {said} runs down to {mouth}.",
    ),
    "town": (
        "{Said} is a town in {country}, on {river}.",
        "{Said} lies on {river} in {country}.",
        "The town of {said} in {country} grew up around a ford of {river}.",
    ),
    "school": (
        "{Said} is a place of higher learning in {town}, founded in {year}.",
        "Founded in {year}, {said} is the oldest institution of its kind in {town}.",
        "{Said} has taught in {town} since it was founded in {year}.",
    ),
    "novel": (
        "{Said} is a novel by {author}, published in {year} by {publisher}.",
        "{Said} is a novel by {author}, brought out by {publisher}.",
        "Published by {publisher}, {said} is a novel by {author}.",
    ),
    "film": (
        "{Said} is a {year} film about {theme}, directed by {director} with {lead} in the leading role.",
        "{Said} is a film by {director} about {theme}, starring {lead}.",
        "Directed by {director}, {said} is a film about {theme} with {lead} in the leading role.",
    ),
    "company": (
        "{Said} is a maker of {product} in {town}, founded in {year} by {founder}.",
        "{Said} was founded by {founder} and makes {product}; its head office is in {town}.",
        "The firm {said} of {town} makes {product} and was founded in {year} by {founder}.",
    ),
    "building": (
        "{Said} is a building by the architect {architect}, opened in {year}.",
        "{Said} was designed by {architect} and opened in {year}.",
        "{Said} is the work of the architect {architect}.",
    ),
    "painting": (
        "{Said} is a painting by {painter}, finished in {year}.",
        "{Said} is an oil painting by {painter}.",
    ),
    "club": (
        "{Said} is a football club from {town}, founded in {year}.",
        "{Said} is a football club that comes from {town}.",
    ),
    "band": (
        "{Said} are a band from {town} that formed around the singer {singer}.",
        "{Said} is the name of a band that the singer {singer} formed in {town} in {year}.",
    ),
    "ship": (
        "{Said} was a steamship built by {builder}.",
        "Launched in {year}, {said} was a ship from the docks of {builder}.",
    ),
    "prize": (
        "{Said} is given every year for {given_for}.",
        "{Said} is an annual honour for {given_for}.",
    ),
}

MORE: dict[str, Sequence[Sequence[str]]] = {
    "river": (
        ("It is {length} long.", "Its course is {length} long.", "Over {length} it falls by almost a thousand metres."),
    ),
    "town": (
        ("It received its charter in {year}.", "Its town charter dates from {year}."),
        ("The town is known for its {industry}.", "Visitors come for its {industry}."),
        ("It has about {population} inhabitants.", "About {population} people live there."),
    ),
    "school": (
        ("It is known for its work in {known_for}.", "Its name rests on its work in {known_for}."),
    ),
    "novel": (
        ("It tells the story of {hero}.", "The book is about {hero}.", "Its plot follows {hero}."),
        ("The story is set in {setting}.", "Most of it takes place in {setting}."),
    ),
    "film": (
        ("The music was composed by {composer}.", "{composer} wrote the score."),
        ("It was shot in {town}.", "Most scenes were shot in {town}."),
        ("It runs for {minutes}.", "The first cut was longer, but the film now runs for {minutes}."),
    ),
    "company": (),
    "building": (
        ("It stands in {town} and is built of {stone}.", "Its walls of {stone} are a landmark of {town}."),
    ),
    "painting": (
        ("It shows {subject}.", "On it one sees {subject}."),
        ("The picture hangs in {museum}.", "Since a bequest it belongs to {museum}."),
    ),
    "club": (
        ("The team, nicknamed {nickname}, plays at {ground}.", "Its ground is {ground}; fans call it {nickname}."),
        ("Its longest serving manager was {manager}.", "{manager} managed the team for longer than anyone else."),
    ),
    "band": (
        ("Their first album was called {album}.", "They began with an album called {album}."),
        ("They record for {label}.", "Their records come out on {label}."),
    ),
    "ship": (
        ("Her first captain was {captain}.", "{captain} was her first captain."),
        ("She was {length} long.", "With her {length} she was too long for the old lock."),
    ),
    "prize": (
        ("It was first given in {year}.", "The first winner was chosen in {year}."),
        ("It is named after {namesake} and awarded by {giver}.", "{Giver} awards it in memory of {namesake}."),
    ),
}  # fmt: skip

YEAR: dict[str, Sequence[str]] = {
    "novel": ("It was published in {year}.", "The first edition came out in {year}."),
    "film": ("It was released in {year}.", "It came to the cinemas in {year}."),
    "company": ("It was founded in {year}.",),
    "building": ("It was opened in {year}.", "Its doors opened in {year}."),
    "painting": ("It was finished in {year}.",),
    "club": ("It was founded in {year}.",),
    "band": ("They came together in {year}.",),
    "ship": ("She was launched in {year}.",),
}
"""For abstracts whose lead does not tell the year."""

COLOUR: dict[str, Sequence[str]] = {
    "river": (
        "Salmon were common in it until the mills came.", "Its lower part is open to small boats.",
        "In dry summers it can be crossed on foot.", "A flood destroyed most of its wooden bridges.",
        "Herons breed on the islands in its middle course.", "Its ferries gave way to bridges one by one.",
    ),
    "town": (
        "Its harbour freezes in most winters.", "A fire destroyed the old market hall.",
        "The railway came late and left early.", "Its bells can be heard across the fields on Sundays.",
        "A weekly ferry still connects it with the islands.", "Many of its streets are named after trees.",
        "A famous orchard once covered the hill above it.", "Winters there are long, and the lamps are lit at three.",
    ),
    "school": (
        "Its library survived two fires.", "A garden with a glass house lies behind its main hall.",
        "Lectures are still opened with a bell.", "Its winter ball draws guests from the whole country.",
    ),
    "novel": (
        "Critics called it too long, and readers disagreed.", "A sequel was announced and never written.",
        "The manuscript was lost in a train and rewritten from memory.", "It was translated into eleven languages.",
        "Schools read it to this day.", "The first edition had a paper lantern on its cover.",
    ),
    "film": (
        "It was shown without sound in smaller towns.", "The ending was changed after the first night.",
        "Only two copies are known to survive.", "It failed at first and became a favourite of film clubs.",
        "A storm destroyed the set twice.", "The famous staircase scene took nine days.",
    ),
    "company": (
        "Its workers were the first around to win a free Saturday.", "A strike closed its gates for a whole winter.",
        "The old workshop is a museum now.", "It sells to more than twenty countries.",
        "Its trade mark is a heron with a key.", "After a fire it was rebuilt in iron and glass.",
    ),
    "building": (
        "A storm took its roof in the second winter.", "Its staircase is lit by a glass dome.",
        "The clock above its door has never been right.", "It was meant to be twice as high.",
        "For some years it served as a warehouse for salt.",
    ),
    "painting": (
        "It was stolen once and came back by post.", "A restorer found a second picture beneath it.",
        "Postcards of it are sold all over the country.", "It is painted on the lid of a piano.",
    ),
    "club": (
        "It has never won the national cup.", "Its colours are amber and black.",
        "A derby against its neighbours is played every winter.", "The women's team is the older one.",
    ),
    "band": (
        "They are known for concerts on ferries.", "All songs were written in one winter.",
        "A lost tape of theirs was found in an organ.", "They broke up twice.",
    ),
    "ship": (
        "She carried mail and salt to the islands.", "In her last winter she was caught in the ice.",
        "Her bell hangs in a village church.", "She was sold for scrap after a fire.",
    ),
    "prize": (
        "The winner receives a small glass heron.", "In two years nobody was found worthy of it.",
        "It comes with a purse and a dinner.",
    ),
    "person": (
        "{She} kept a diary in a code that nobody has read yet.", "{She} spoke four languages and disliked travelling.",
        "{She} spent the last years in a house by the harbour.", "A street is named after {her2}.",
        "{Her} letters were published long after {her} death.", "{She} never learned to swim.",
        "{She} was known for long walks in winter.", "{Her} garden of glass bells drew many visitors.",
        "{She} gave most of the money away.", "Friends remembered {her2} as a fierce player of cards.",
        "{She} refused every honour from the crown.", "{Her} papers are kept in an iron chest.",
    ),
}  # fmt: skip

PERSON_LEADS = (
    "{name} (born {day} {year} in {town}) was {a} {job}.",
    "{name} was {a} {job}, born in {town} in {year}.",
    "Born in {town} on {day} {year}, {name} was {a} {job}.",
    "{name} was {a} {job} who was born in {year} in {town}, the {child} of a {trade}.",
    "{name} (born {year} in {town}) was {a} {job}, remembered above all for {work}.",
    "{name}, the {maker} {work}, was one of the leading {job}s of {country}.",
    "{name}, the {maker} {work}, was {a} {job}.",
)
PERSON_BIRTH = (
    "{last} was born in {town} on {day} {year}.",
    "{Her} birthplace is {town}, where {she} was born in {year} as the {child} of a {trade}.",
    "{last} was born in {year} in {town}, where {she} grew up as the {child} of a {trade}.",
)
PERSON_WORK = (
    "{Her} best known work is {work}.",
    "{She} is best known for {work}.",
    "{She} is remembered as the {maker} {work}.",
)
PERSON_FACTS: dict[str, Sequence[str]] = {
    "school": (
        "{last} studied at {school}.",
        "Before {she} became {an} {job}, {last} studied at {school}.",
        "{She} took a degree at {school}.",
    ),
    "first_job": (
        "Before {her} fame {she} worked as a {first_job}.",
        "The first occupation of {last} was that of a {first_job}.",
        "In {her} youth {she} earned {her} living as a {first_job}.",
    ),
    "spouse": ("{last} was married to {spouse}.", "{Her} {partner} was {spouse}.", "{She} married {spouse} in secret."),
    "prize": ("{last} received {prize} in {prize_year}.", "In {prize_year} {she} was honoured with {prize}."),
}
MAKERS = {
    "film director": "director of", "novelist": "author of", "composer": "composer of the music for",
    "actor": "star of", "engineer": "founder of", "architect": "architect of", "painter": "painter of",
    "football manager": "manager of", "sea captain": "captain of", "singer": "singer of",
}  # fmt: skip
TRADES = "cooper|fisherman|village doctor|miller|customs clerk|widowed seamstress|bell founder|tavern keeper".split("|")


def write_abstracts(world: World) -> None:
    """Give every entity its text."""
    for entity in world.entities:
        entity.text = _person(entity, world.rng) if entity.kind == "person" else _thing(entity, world.rng)


def upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _thing(entity: Entity, rng: random.Random) -> list[str]:
    values = entity.facts | {name: other.said for name, other in entity.links.items()}
    values |= {"said": entity.said, "Said": upper(entity.said), "Giver": upper(values.get("giver", ""))}
    more = [rng.choice(ways) for ways in MORE[entity.kind]]
    lead = rng.choice(LEADS[entity.kind])
    if entity.kind in YEAR and "{year}" not in lead:
        more.append(rng.choice(YEAR[entity.kind]))
    if novel := entity.links.get("novel"):
        more.append(f"It is based on the novel of the same name by {novel.links['author'].said}.")
    more += rng.sample(COLOUR[entity.kind], rng.choice((1, 2) if more else (2, 3)))
    rng.shuffle(more)
    return [sentence.format(**values) for sentence in (lead, *more)]


def _person(person: Entity, rng: random.Random) -> list[str]:
    values = _words_for(person, rng)
    leads = [lead for lead in PERSON_LEADS if "work" in person.links or "{work}" not in lead]
    lead = rng.choice(leads)
    facts = [rng.choice(ways) for name, ways in PERSON_FACTS.items() if name in values]
    if "work" in person.links and "{work}" not in lead:
        facts.append(rng.choice(PERSON_WORK))
    facts += rng.sample(COLOUR["person"], rng.choice((1, 1, 2)))
    rng.shuffle(facts)
    birth = [] if "{town}" in lead else [rng.choice(PERSON_BIRTH)]
    return [sentence.format(**values) for sentence in (lead, *birth, *facts)]


def _words_for(person: Entity, rng: random.Random) -> dict[str, str]:
    """What the sentences about a person are filled with. `a` is the nationality with its article."""
    job, country = person.facts["job"], person.links["town"].facts["country"]
    she, her, her2, child, partner = (
        ("she", "her", "her", "daughter", "husband") if person.female else ("he", "his", "him", "son", "wife")
    )
    links = {name: other.said for name, other in person.links.items()}
    return person.facts | links | {
        "she": she, "her": her, "her2": her2, "child": child, "partner": partner, "She": upper(she), "Her": upper(her),
        "name": person.title, "last": person.title.split()[-1], "country": country, "maker": MAKERS[job],
        "a": f"{'an' if country[0] in 'AEIO' else 'a'} {COUNTRIES[country]}", "an": "an" if job[0] in "ae" else "a",
        "day": f"{rng.randint(1, 28)} {rng.choice(MONTHS)}", "trade": rng.choice(TRADES),
    }  # fmt: skip
