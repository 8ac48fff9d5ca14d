"""Makes the data of the templates: all of it is invented. Run it in this folder; equal seeds give equal files."""

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SIZES = {"train": 24, "validation": 40, "test": 40}
Row = dict[str, Any]

TEAMS = {
    "billing": (
        "The {month} invoice lists two charges for one payment.", "Please refund the payment of {month}.",
        "My subscription price went up in {month}, and nobody told me.", "Where can I download invoices from {month}?",
        "The card was charged although I cancelled in {month}.", "I need a refund for the {thing} that I sent back.",
    ),
    "shipping": (
        "The parcel with my {thing} was left at a wrong address.", "Tracking has not moved since {month}.",
        "Can the delivery of the {thing} go to another address?", "The courier came while I was at work in {city}.",
        "Customs in {city} hold my parcel.", "When is the {thing} delivered to {city}?",
    ),
    "accounts": (
        "The password link for my profile has expired.", "I want another email address in my profile since {month}.",
        "The login page in {city} asks for a code that never comes.", "Please delete my profile by {month}.",
        "My login stopped working in {month}.", "How do I change the password after moving to {city}?",
    ),
    "hardware": (
        "The screen of the {thing} stays black.", "The {thing} gets hot, and its battery is empty by noon.",
        "A cable of the {thing} is broken.", "The {thing} makes a noise since {month}.",
        "The battery of my {thing} swells; is there a warranty?", "The {thing} is broken after a fall in {city}.",
    ),
}  # fmt: skip
ASIDES = (
    "I have asked about the parcel before.", "Thank you, and greetings from {city}.", "This is urgent.",
    "My colleague in billing could not help.", "I have been a customer since {month}.", "", "", "",
)  # fmt: skip
THINGS = ("lamp", "scanner", "tablet", "speaker", "heater", "printer", "camera", "router")
CITIES = ("Ghent", "Tartu", "Lucca", "Aarhus", "Brno", "Porto", "Cork", "Bergen")
MONTHS = ("January", "March", "April", "June", "August", "October", "November", "December")
FIRST = ("Milan", "Ingrid", "Oskar", "Leila", "Tomas", "Hanna", "Rui", "Nora", "Emil", "Sofia")
LAST = ("Kovacs", "Novak", "Lindqvist", "Haddad", "Moreau", "Berg", "Duarte", "Keller", "Rossi", "Vance")
GOODS = ("oak shelves", "paint rollers", "desk lamps", "steel hooks", "garden chairs", "door handles", "wool rugs")
STATES = ("packed", "shipped", "delivered", "delayed", "returned")


def tickets(chance: random.Random) -> Iterator[Row]:
    """Support tickets; what they are about is said once, and some name another team's things in passing."""
    while True:
        team = chance.choice(list(TEAMS))
        words = {"thing": chance.choice(THINGS), "city": chance.choice(CITIES), "month": chance.choice(MONTHS)}
        text = f"{chance.choice(TEAMS[team])} {chance.choice(ASIDES)}".format(**words).strip()
        yield {"inputs": {"ticket": text}, "expected": {"team": team}}


def invoices(chance: random.Random) -> Iterator[Row]:
    """Invoice e-mails, in three wordings, with two dates and two amounts of which one each is asked for."""
    while True:
        number = f"R-{chance.randint(1000, 9999)}"
        supplier = f"{chance.choice(LAST)} & {chance.choice(LAST)}"
        net, month, day = chance.randint(90, 4800), chance.choice(MONTHS), chance.randint(2, 27)
        total, sent = f"{net * 1.2:.2f}", f"{day} {month} 2026"
        due = f"{chance.randint(2, 27)} {MONTHS[(MONTHS.index(month) + 1) % len(MONTHS)]} 2027"
        texts = (
            f"Invoice {number} of {sent}\nSupplier: {supplier}\nNet {net}.00 EUR, with tax a total of {total} EUR.\n"
            f"Please pay by {due}.",
            f"Dear all, attached is invoice {number} from the supplier {supplier}, sent on {sent}. The net price is "
            f"{net}.00 EUR; the total is {total} EUR, due on {due}.",
            f"{supplier} wrote on {sent}: the total of {total} EUR (net {net}.00 EUR) for invoice {number} is due by "
            f"{due}.",
        )
        wanted = {"supplier": supplier, "invoice_number": number, "total": total, "due_date": due}
        yield {"inputs": {"email": chance.choice(texts)}, "expected": wanted}


def handbook() -> list[Row]:
    """The handbook of an invented company: two short pages for each of its offices, one for each team."""
    chance = random.Random("handbook")

    def person() -> str:
        return f"{chance.choice(FIRST)} {chance.choice(LAST)}"

    pages = []
    for city in CITIES:
        floor, opened, hour = chance.randint(2, 9), chance.randint(1, 9), chance.randint(13, 15)
        office = (f"The {city} office is on floor {floor} and opened in 200{opened}. The {city} office is led by "
                  f"{person()}.")  # fmt: skip
        pages.append({"title": f"{city} office", "text": office})
        pages.append(
            {"title": f"{city} canteen", "text": f"The canteen serves lunch until {hour}:30. Its cook is {person()}."}
        )
    for thing in THINGS:
        team = (f"The {thing} team works in {chance.choice(CITIES)} and has {chance.randint(4, 40)} members. The lead "
                f"engineer of the {thing} team is {person()}.")  # fmt: skip
        pages.append({"title": f"{thing} team", "text": team})
    return pages


ASKED = (
    (r"is led by (.+)\.", "Who leads the {name}?"),
    (r"on floor (\d+)", "On which floor is the {name}?"),
    (r"opened in (\d+)", "In which year was the {name} opened?"),
    (r"until (\S+)\. ", "Until when is lunch served in the canteen of the {city} office?"),
    (r"cook is (.+)\.", "Who is the cook in the canteen of the {city} office?"),
    (r"works in (\w+)", "In which city does the {name} work?"),
    (r"has (\d+) members", "How many members does the {name} have?"),
    (r"engineer of the \w+ team is (.+)\.", "Who is the lead engineer of the {name}?"),
)


def questions(chance: random.Random) -> Iterator[Row]:
    """Questions on the handbook, each answered by one page; the page is the gold evidence."""
    forms = []
    for page in handbook():
        name = page["title"]
        for pattern, question in ASKED:
            if match := re.search(pattern, page["text"]):
                text = question.format(name=name, city=name.split()[0])
                forms += [(f"{start}{text}", match.group(1), name) for start in ("", "A visitor asks: ", "Quickly: ")]
    chance.shuffle(forms)
    for text, answer, title in forms:
        yield {"inputs": {"question": text}, "expected": {"answer": answer}, "metadata": {"titles": [title]}}


def shop() -> dict[str, dict[str, Row]]:
    """The records of an invented shop: orders by id, and customers by name."""
    chance = random.Random("shop")
    names = [f"{first} {last}" for first in FIRST for last in LAST]
    chance.shuffle(names)
    customers = {
        name: {"name": name, "email": f"{name.lower().replace(' ', '.')}@example.org",
               "phone": f"+32 9 555 {chance.randint(10, 99)} {chance.randint(10, 99)}", "city": chance.choice(CITIES)}
        for name in names[:40]
    }  # fmt: skip
    orders = {}
    for _ in range(60):
        number = f"K-{chance.randint(1000, 9999)}"
        orders[number] = {"order_id": number, "customer": chance.choice(list(customers)), "goods": chance.choice(GOODS),
                          "quantity": chance.randint(2, 90), "status": chance.choice(STATES)}  # fmt: skip
    return {"orders": orders, "customers": customers}


def requests(chance: random.Random) -> Iterator[Row]:
    """Questions to the shop: half of them take an order and then its customer."""
    records = shop()
    asked = []
    for number, order in records["orders"].items():
        customer = records["customers"][order["customer"]]
        asked += [
            (f"What is the status of order {number}?", order["status"]),
            (f"What quantity was ordered in order {number}?", str(order["quantity"])),
            (f"What is the email of the customer who placed order {number}?", customer["email"]),
            (f"Which city does the customer of order {number} live in?", customer["city"]),
        ]
    chance.shuffle(asked)
    for question, answer in asked:
        yield {"inputs": {"question": question}, "expected": {"answer": answer}}


def write(template: str, rows: Iterator[Row], sizes: dict[str, int], prefix: str) -> None:
    """Split distinct rows in order of their making."""
    seen: set[str] = set()
    number = 0
    (HERE / template / "data").mkdir(exist_ok=True)
    for split, size in sizes.items():
        lines = []
        while len(lines) < size:
            row = next(rows)
            if (text := json.dumps(row["inputs"])) not in seen:
                seen.add(text)
                lines.append(json.dumps({"id": f"{prefix}-{number:03}", **row}))
                number += 1
        (HERE / template / "data" / f"{split}.jsonl").write_text("\n".join(lines) + "\n")


def main() -> None:
    write("classify", tickets(random.Random(1)), SIZES, "ticket")
    write("extract_json", invoices(random.Random(2)), SIZES, "invoice")
    write("retrieval_qa", questions(random.Random(3)), SIZES, "question")
    write("tool_agent", requests(random.Random(4)), SIZES, "request")
    write("langgraph", tickets(random.Random(5)), SIZES, "ticket")
    write("dspy", tickets(random.Random(6)), SIZES, "ticket")
    pages = "\n".join(json.dumps(page) for page in handbook())
    (HERE / "retrieval_qa" / "resources" / "handbook.jsonl").write_text(pages + "\n")
    for name, rows in shop().items():
        (HERE / "tool_agent" / "resources" / f"{name}.json").write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
