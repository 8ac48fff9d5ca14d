"""The invented world behind the mini-wiki: who and what there is, and how they hang together. No sentence yet."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

COUNTRIES = {"Kelmark": "Kelmarkian", "Vessenia": "Vessenian", "Tarrow": "Tarrovian", "Ilmora": "Ilmoran"}
TOWNS = tuple(name.replace("_", " ") for name in (
    "Torvik Maresby Aldenholt Brackwater Corrinmouth Dunhaven Eskerby Fallowmere Greystrand Holmsand Irenford Jarlsby "
    "Kestrel_Bay Lowmarsh Merrowgate Nettlebridge Ormsund Pellworth Quarnholm Ravensund Silverstrand Tarnby Ulmstead "
    "Westhollow"
).split())  # fmt: skip
RIVERS = "Aule Brenna Corrin Dray Elvane Fosse Greel Hask Istra".split()
SOURCES = (
    "Hask Hills|Orrin Range|Fell of Tarn|Marble Uplands|Greel Moors|Sorrow Peaks|Vessen Plateau|Twin Ridges|"
    "Heron Heights"
).split("|")
MOUTHS = (
    "Lake Orrin|Grey Sound|Merrow Estuary|Lake Vessel|Bay of Lanterns|Salt Fen|Lake Isting|Copper Firth|Amber Lagoon"
).split("|")
INDUSTRIES = (
    "glass blowing|salt trade|rope making|copper foundries|cheese markets|slate quarries|paper mills|herring fleet|"
    "clock workshops|linen weaving|pottery kilns|apple orchards|timber yards|amber carving|whisky distilleries|"
    "wool auctions|oyster beds|iron bridges|book fairs|lace schools|flower shows|cider presses|tanneries|honey fairs"
).split("|")
FEMALE = (
    "Mara Ilse Teodora Runa Selma Ottilie Wanda Brisa Henrike Calla Dagny Evike Fenna Greta Isolde Jorun Katla Livia "
    "Minna Nerys Orsola Petrine Ragna Sidonie Tamsin Ulla Verena Ysolt Zelda Anouk Birgit Corinna Delphine Edda Frida "
    "Gunhild Hedda Ingeborg Josefa Karin Lotte Marit Nadja Oda Perpetua Zita"
).split()
MALE = (
    "Anselm Bertil Casimir Dorian Emeric Falk Gideon Halvor Ivo Jarek Konrad Leopold Matthis Niklas Osric Piers Quirin "
    "Roald Soren Tobin Ulric Valentin Wendel Yorick Zoltan Alaric Benedek Corin Edvard Fabian Gregor Hjalmar Ismael "
    "Joachim Klaus Lorenz Magnus Nestor Otmar Pavel Rasmus Sixten Tibor Ambrose Egon Ludo"
).split()
SURNAMES = (
    "Harnell Velling Ostrom Brandvik Callowan Dressel Everden Fallow Grevstad Holloran Isting Jarnow Kestrell "
    "Lindqvall Marwick Nordahl Orsten Pellinor Quist Rademark Solhaug Tarrant Ulvaeng Vandrick Westerby Yarrow Zellner "
    "Ashgrove Birkeland Corvane Dunmore Elster Fenwright Garrow Hestvik Ingrave Jessel Kolder Larkspur Mordane"
).split()
BORN = {"engineer": (1838, 1950), "sea captain": (1872, 1925), "singer": (1915, 1952)}
JOBS = {
    "film director": 12, "novelist": 13, "composer": 8, "actor": 12, "engineer": 14, "architect": 8, "painter": 7,
    "football manager": 5, "sea captain": 5, "singer": 6,
}  # fmt: skip
FIRST_JOBS = (
    "lighthouse keeper|postal clerk|beekeeper|piano tuner|tram conductor|baker|shepherd|bookbinder|ferry pilot|"
    "watchmaker|stonemason|schoolteacher|pharmacist|gardener|court stenographer|surveyor|sailmaker|night porter|"
    "proofreader|blacksmith|telegraph operator|tailor|cabinet maker|weather observer|ski instructor|translator"
).split("|")
SCHOOLS = (
    ("University of Ormsund", "Ormsund", "marine biology"),
    ("Ravensund Polytechnic", "Ravensund", "bridge engineering"),
    ("Aldenholt Academy of Arts", "Aldenholt", "fresco painting"),
    ("Royal Conservatory of Greystrand", "Greystrand", "early organ music"),
    ("Corrinmouth School of Mines", "Corrinmouth", "mineral chemistry"),
    ("Silverstrand University", "Silverstrand", "comparative law"),
    ("University of Pellworth", "Pellworth", "medieval history"),
)
ADJECTIVES = "Salt Glass Silent Winter Amber Hollow Paper Iron Crimson Northern Drowned Second".split()
NOUNS = (
    "Orchard Lantern Harbour Ferry Garden Staircase Almanac Bridge Kingdom Clockmaker Letter Tide Window Heron".split()
)
HEROES = (
    "a retired ferryman|two rival bakers|an orphaned cartographer|a blind organist|a family of salt smugglers|"
    "a disgraced judge|three sisters on a lightship|a forger of stamps|a village midwife|a deserter from the navy|"
    "an ageing chess champion|a glass blower's apprentice|a stationmaster who cannot sleep|a widowed beekeeper|"
    "twin brothers in a mine|a travelling dentist|a lost weather balloon|a choir of prisoners|a bankrupt circus|"
    "a translator of love letters"
).split("|")
PRODUCTS = (
    "marine engines|wall clocks|fishing nets|optical lenses|tinned fish|bicycles|church organs|typewriters|"
    "porcelain stoves|rain coats|electric trams|surgical steel"
).split("|")
STONES = "green sandstone|black basalt|pink granite|yellow brick|white limestone|grey slate|red marble|pale oak".split(
    "|"
)
NICKNAMES = "the Herons|the Saltmen|the Lanterns|the Foundrymen|the Ferrymen|the Magpies".split("|")
GROUNDS = "Quarry Lane|Lantern Park|Salt Meadow|Mill Road|Harbour Field|Orchard Street".split("|")
SUBJECTS = (
    "a ferry in fog|an empty orchard|the painter's mother at a window|a burning lighthouse|three herons at low tide|"
    "market day in the snow|a clockmaker asleep|a drowned church"
).split("|")
PRIZE_FIELDS = (
    "services to the arts|a life's work|craft and invention|courage in public life|service to the coast".split("|")
)
THEMES = (
    "guilt and bad weather|a stolen church bell|a strike at a harbour|first love on a ferry|two brothers and a debt|"
    "a trial without witnesses|the last winter of a lighthouse|a village that moves uphill|an impostor at a wedding"
).split("|")
COLOURS = "Copper Blue Midnight Marble Velvet Little Broken".split()
THINGS = "Foxes Lanterns Compass Tenants Almanac Sparrows Harbour".split()


@dataclass(eq=False)
class Entity:
    """A thing with an abstract of its own. `facts` are texts, `links` lead to other entities.

    `said` is how a sentence names it; `title` is the title of its abstract.
    """

    kind: str
    title: str
    said: str
    facts: dict[str, str] = field(default_factory=dict)
    links: dict[str, Entity] = field(default_factory=dict)
    female: bool = False
    text: list[str] = field(default_factory=list)

    @property
    def year(self) -> int:
        return int(self.facts["year"])


class World:
    """All entities, in the order in which they were made."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.entities: list[Entity] = []
        self._names = [f"{adjective} {noun}" for adjective in ADJECTIVES for noun in NOUNS]
        rng.shuffle(self._names)
        self._places()
        self._people()
        self._books_and_films()
        self._works()
        self._prizes()

    def all(self, kind: str) -> list[Entity]:
        return [entity for entity in self.entities if entity.kind == kind]

    def people(self, job: str) -> list[Entity]:
        return [person for person in self.all("person") if person.facts["job"] == job]

    def _add(self, kind: str, title: str, said: str = "", *, female: bool = False, **facts: object) -> Entity:
        values = {name: str(value) for name, value in facts.items()}
        entity = Entity(kind, title, said or title, values, female=female)
        self.entities.append(entity)
        return entity

    def _mixed(self, values: Sequence[str]) -> list[str]:
        return self.rng.sample(values, len(values))

    def _places(self) -> None:
        rng = self.rng
        for name, source, mouth in zip(RIVERS, self._mixed(SOURCES), self._mixed(MOUTHS), strict=True):
            self._add("river", f"River {name}", f"the River {name}", length=f"{rng.randint(48, 610)} kilometres",
                      source=source, mouth=mouth)  # fmt: skip
        for at, (name, industry) in enumerate(zip(TOWNS, self._mixed(INDUSTRIES), strict=True)):
            people = f"{rng.randint(4, 96)},{rng.randint(100, 999)}"
            town = self._add("town", name, year=rng.randint(1090, 1640), industry=industry, population=people,
                             country=list(COUNTRIES)[at % 4])  # fmt: skip
            town.links["river"] = rng.choice(self.all("river"))
        towns = {town.title: town for town in self.all("town")}
        for name, place, field_of_work in SCHOOLS:
            article = "the " if name.startswith(("University", "Royal", "Aldenholt", "Corrinmouth")) else ""
            school = self._add("school", name, article + name, year=rng.randint(1652, 1840), known_for=field_of_work)
            school.links["town"] = towns[place]

    def _people(self) -> None:
        rng = self.rng
        names = [(name, True) for name in self._mixed(FEMALE)] + [(name, False) for name in self._mixed(MALE)]
        rng.shuffle(names)
        surnames = self._mixed(SURNAMES) + self._mixed(SURNAMES) + self._mixed(SURNAMES)
        jobs = [job for job, count in JOBS.items() for _ in range(count)]
        for (first, female), last, job in zip(names, surnames, jobs, strict=False):
            born = rng.randint(*BORN.get(job, (1868, 1952)))
            person = self._add("person", f"{first} {last}", female=female, job=job, year=born,
                               first_job=rng.choice(FIRST_JOBS))  # fmt: skip
            person.links["town"] = rng.choice(self.all("town"))
            if rng.random() < 0.75:
                person.links["school"] = rng.choice(self.all("school"))
        for engineer, born in zip(self.people("engineer"), (1838, 1841, 1846), strict=False):
            engineer.facts["year"] = str(born)  # they found what books and ships come from later on
        for person in self.all("person"):
            others = [other for other in self.all("person") if abs(other.year - person.year) < 9
                      and other.female != person.female and "spouse" not in other.links]  # fmt: skip
            if others and "spouse" not in person.links and rng.random() < 0.3:
                person.links["spouse"] = other = rng.choice(others)
                other.links["spouse"] = person

    def _alive(self, job: str, year: int) -> Entity:
        """Someone of that job who was at work in that year; the first choice is who has no known work yet."""
        people = [person for person in self.people(job) if 23 <= year - person.year <= 66]
        if not people:
            return min(self.people(job), key=lambda person: abs(year - person.year - 40))
        return self.rng.choice([person for person in people if "work" not in person.links] or people)

    def _made(self, maker: Entity, work: Entity) -> Entity:
        maker.links.setdefault("work", work)
        return maker

    def _working_year(self, person: Entity) -> int:
        return person.year + self.rng.randint(26, 52)

    def _books_and_films(self) -> None:
        rng, towns = self.rng, self.all("town")
        publishers = [self._add("company", f"{name} Press", product="books", year=rng.randint(1840, 1905))
                      for name in ("Lantern", "Heron & Quist", "Saltmarsh")]  # fmt: skip
        for at, hero in enumerate(self._mixed(HEROES)):
            author = self.people("novelist")[at % JOBS["novelist"]]
            novel = self._add("novel", f"The {self._names.pop()}", year=self._working_year(author), hero=hero)
            novel.links |= {"author": self._made(author, novel), "publisher": rng.choice(publishers),
                            "setting": rng.choice(towns)}  # fmt: skip
        novels = self._mixed_novels()
        for at in range(22):
            director = self.people("film director")[at % JOBS["film director"]]
            year = max(self._working_year(director), 1922)
            based_on = next((novel for novel in novels if novel.year + 2 < year), None) if at % 2 else None
            if based_on:
                novels.remove(based_on)
            said = based_on.title if based_on else f"The {self._names.pop()}"
            film = self._add("film", f"{said} (film)" if based_on else said, said, year=year,
                             theme=rng.choice(THEMES),
                             minutes=f"{rng.randint(71, 168)} minutes")  # fmt: skip
            film.links |= {"director": self._made(director, film), "town": rng.choice(towns)}
            film.links["composer"] = self._made(self._alive("composer", year), film)
            film.links["lead"] = self._made(self._alive("actor", year), film)
            if based_on:
                film.links["novel"] = based_on

    def _mixed_novels(self) -> list[Entity]:
        novels = self.all("novel")
        self.rng.shuffle(novels)
        return novels

    def _works(self) -> None:
        rng, towns = self.rng, self.all("town")
        engineers = iter(self.people("engineer"))
        for press in self.all("company"):
            press.links |= {"founder": self._made(next(engineers), press), "town": rng.choice(towns)}
            press.facts["year"] = str(press.links["founder"].year + rng.randint(24, 33))
        labels = [
            self._company(next(engineers), f"{name} Records", "gramophone records") for name in ("Blue Heron", "Tide")
        ]
        for product, engineer in zip(self._mixed(PRODUCTS), engineers, strict=False):
            self._company(
                engineer, f"{engineer.title.split()[-1]} {rng.choice(('Works', '& Sons', 'Company'))}", product
            )
        yards = [self._company(engineer, f"{town.title} Shipyard", "ships")
                 for engineer, town in zip(self.people("engineer"), rng.sample(towns, 3), strict=False)]  # fmt: skip
        for at, place in enumerate(rng.sample(towns, 14)):
            architect = self.people("architect")[at % JOBS["architect"]]
            what = ("Opera House", "Museum", "Lighthouse", "Station", "Library", "Bridge", "Museum")[at % 7]
            building = self._add("building", f"{place.title} {what}", f"the {place.title} {what}",
                                 year=self._working_year(architect), stone=rng.choice(STONES))  # fmt: skip
            building.links |= {"architect": self._made(architect, building), "town": place}
        museums = [building for building in self.all("building") if building.title.endswith("Museum")]
        for at, subject in enumerate(self._mixed(SUBJECTS)):
            painter = self.people("painter")[at % JOBS["painter"]]
            picture = self._add("painting", self._names.pop(), year=self._working_year(painter), subject=subject)
            picture.links |= {"painter": self._made(painter, picture), "museum": rng.choice(museums)}
        for nickname, ground, place in zip(NICKNAMES, self._mixed(GROUNDS), rng.sample(towns, 6), strict=True):
            name = f"{place.title} {rng.choice(('Rovers', 'Athletic', 'United', 'Harbour'))}"
            club = self._add("club", name, year=rng.randint(1888, 1921), nickname=nickname, ground=ground)
            manager = self._alive("football manager", int(club.facts["year"]) + 50)
            club.links |= {"manager": self._made(manager, club), "town": place}
        for at in range(7):
            singer = self.people("singer")[at % JOBS["singer"]]
            band = self._add("band", f"{COLOURS[at]} {THINGS[at]}", f"the {COLOURS[at]} {THINGS[at]}",
                             year=singer.year + rng.randint(19, 31), album=self._names.pop())  # fmt: skip
            band.links |= {"singer": self._made(singer, band), "town": rng.choice(towns), "label": rng.choice(labels)}
        for at in range(7):
            captain = self.people("sea captain")[at % JOBS["sea captain"]]
            name = rng.choice(self.all("person")).title if at % 2 else self._names.pop()
            ship = self._add("ship", f"{name} (ship)", f"the {name}", year=self._working_year(captain),
                             length=f"{rng.randint(31, 118)} metres")  # fmt: skip
            ship.links |= {"captain": self._made(captain, ship), "builder": rng.choice(yards)}

    def _company(self, founder: Entity, name: str, product: str) -> Entity:
        taken = {entity.title for entity in self.entities}
        name = next(each for each in (name, f"{name} of {founder.links['town'].title}") if each not in taken)
        company = self._add("company", name, year=founder.year + self.rng.randint(24, 45), product=product)
        company.links |= {"founder": self._made(founder, company), "town": self.rng.choice(self.all("town"))}
        return company

    def _prizes(self) -> None:
        rng = self.rng
        elders = sorted((person for person in self.all("person") if person.facts["job"] != "football manager"),
                        key=lambda person: person.year)[:20]  # fmt: skip
        namesakes: dict[str, Entity] = {}
        for person in rng.sample(elders, len(elders)):
            namesakes.setdefault(person.title.split()[-1], person)
        for what, (last, person) in zip(PRIZE_FIELDS, namesakes.items(), strict=False):
            name = f"{last} {rng.choice(('Prize', 'Medal', 'Award'))}"
            prize = self._add("prize", name, f"the {name}", year=person.year + rng.randint(60, 75), given_for=what)
            prize.links |= {"namesake": person, "giver": rng.choice(self.all("school"))}
        for person in self.all("person"):
            prizes = [prize for prize in self.all("prize")
                      if prize.year < person.year + 64 and prize.links["namesake"] is not person]  # fmt: skip
            if prizes and rng.random() < 0.55:
                prize = rng.choice(prizes)
                person.links["prize"] = prize
                person.facts["prize_year"] = str(max(prize.year + rng.randint(1, 6), person.year + rng.randint(35, 64)))
