"""Makes the order notices of this pipeline, with a seed: invented people and orders. Run it again: the same files."""

from __future__ import annotations

import json
import random
from pathlib import Path

SEED = 5
SIZE = 80
SPLITS = ("train", "validation", "test")

FIRST = "Maria Jonas Aiko Lena Tomas Ingrid Rafael Noor Petra Samir Elin Viktor Clara Bruno Hana Oskar Yara Felix Ines Milan".split()
LAST = "Lopez Weber Tanaka Novak Silva Berg Haddad Moreau Kovacs Lind Rossi Duarte Fischer Nilsen Petrov Okafor Maier Costa Sato Vogel".split()
CITIES = "Oslo Bremen Porto Ghent Turin Lyon Graz Malmo Leeds Basel Bergen Split Cork Tartu Utrecht".split()
GOODS = (
    "oak shelves",
    "desk lamps",
    "steel hinges",
    "paint rollers",
    "floor tiles",
    "door handles",
    "wool blankets",
    "copper pipes",
)
MONTHS = "January February March April May June July August September October November December".split()

PATTERNS = (
    "Hello, this is {customer}. I would like to order {quantity} {goods} under order {order_id}. Please send them to {city}; I need them by {due}.",
    "Order {order_id}\nCustomer: {customer}\nWe need {quantity} {goods}, delivered to {city} by {due}.",
    "Dear team, please confirm order {order_id}: {quantity} {goods} for {customer}, to be shipped to {city}. The due date is {due}.",
    "{customer} called about order {order_id}. The quantity is {quantity} {goods}; destination city {city}, deadline {due}.",
    "New purchase from {customer} in {city}: {quantity} {goods}. Our order reference is {order_id}. Delivery is due on {due}.",
    "Hi, could you deliver {quantity} {goods} to our workshop in {city} before {due}? The order is {order_id}. Best regards, {customer}",
    "Reference {order_id}. Client {customer} asks for {quantity} units of {goods}, due {due}, shipping to {city}.",
    "Please note: order {order_id} by {customer} must arrive in {city} no later than {due}. It holds {quantity} {goods}.",
    "We confirm that {customer} bought {quantity} {goods} (order {order_id}). They go to {city} and are due {due}.",
    "For {customer}: order {order_id}, quantity {quantity}, {goods}. Deliver to {city}, date {due}.",
    "The customer, {customer}, wants {quantity} {goods} by {due}. Ship order {order_id} to the city of {city}.",
    "Urgent! Order {order_id} is due {due}. Customer {customer}, city {city}, quantity {quantity} of {goods}.",
)  # fmt: skip


def make_notice(rng: random.Random, number: int) -> dict[str, object]:
    values = {
        "customer": f"{rng.choice(FIRST)} {rng.choice(LAST)}",
        "order_id": f"{rng.choice('ABKRT')}-{rng.randint(1000, 9999)}",
        "quantity": rng.randint(2, 60),
        "city": rng.choice(CITIES),
        "due": f"{rng.randint(1, 28)} {rng.choice(MONTHS)} 2027",
    }
    notice = rng.choice(PATTERNS).format(goods=rng.choice(GOODS), **values)
    return {"id": f"notice-{number:04d}", "inputs": {"notice": notice}, "expected": values}


def main() -> None:
    rng = random.Random(SEED)
    for place, split in enumerate(SPLITS):
        rows = (make_notice(rng, place * SIZE + number) for number in range(SIZE))
        text = "".join(json.dumps(row) + "\n" for row in rows)
        Path(__file__).with_name(f"{split}.jsonl").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
