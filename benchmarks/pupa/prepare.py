"""PUPA as GEPA splits it: of pupa_new in file order, 111 rows train, the next 111 validation, the next 221 test."""

PARTS = {"train": slice(0, 111), "validation": slice(111, 222), "test": slice(222, 443)}


def cases(rows):
    """Source `pupa_new` to splits. Rows have no id: a case is named by its place in the file."""
    numbered = list(enumerate(rows["pupa_new"]))
    return {split: [case(number, row) for number, row in numbered[part]] for split, part in PARTS.items()}


def case(number, row):
    """One row as a case. Empty and repeated private pieces are left out; `units` is how many GEPA's score counts."""
    units = str(row["pii_units"] or "").split("||")
    pieces = list(dict.fromkeys(unit.strip() for unit in units if unit.strip()))
    return {
        "id": f"pupa-{number:04d}",
        "inputs": {"user_query": str(row["user_query"])},
        "expected": {"reply": str(row["target_response"]), "pieces": pieces, "units": len(set(units))},
        "metadata": {"conversation": str(row["conversation_hash"]), "category": str(row["predicted_category"])},
    }
