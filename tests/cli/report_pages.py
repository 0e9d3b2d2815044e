"""Reads the audit's page as strictly as it may be read, and holds it against the audit's state."""

import re
from collections import defaultdict
from decimal import Decimal
from html.parser import HTMLParser
from xml.etree import ElementTree

SVG = "{http://www.w3.org/2000/svg}"
DIGITS = {"CNY": 2, "JPY": 0, "KWD": 3}


class Node:
    def __init__(self, tag, attributes=()):
        self.tag, self.attributes, self.children = tag, dict(attributes), []

    def text(self):
        parts = (one if isinstance(one, str) else one.text() for one in self.children)
        return self.attributes.get("aria-label") or "".join(parts).strip()

    def all(self, *tags):
        for child in self.children:
            if isinstance(child, Node):
                if child.tag in tags:
                    yield child
                yield from child.all(*tags)


class Strict(HTMLParser):
    """A page as a tree. Every tag must be closed in its turn, and none may be there that is not expected."""

    TAGS = frozenset(
        re.findall(
            r"\w+",
            "html head meta title style body main section div nav ul li a h1 h2 h3 p bdi span table caption "
            "thead tbody tfoot tr th td figure svg desc rect path text",
        )
    )

    def __init__(self, text):
        super().__init__()
        self.root, self.source = Node("page"), text
        self.open = [self.root]
        self.feed(text)
        self.close()
        assert self.open == [self.root]

    def handle_starttag(self, tag, attributes):
        assert tag in self.TAGS
        assert len(dict(attributes)) == len(attributes)
        node = Node(tag, attributes)
        self.open[-1].children.append(node)
        if tag != "meta":
            self.open.append(node)

    def handle_endtag(self, tag):
        assert self.open.pop().tag == tag

    def handle_startendtag(self, tag, attributes):
        assert "svg" in [node.tag for node in self.open], f"<{tag}/> in HTML"
        self.open[-1].children.append(Node(tag, attributes))

    def handle_comment(self, data):
        raise AssertionError(data)

    def handle_data(self, data):
        self.open[-1].children.append(data)

    def differences(self):
        return tables(next(self.root.all("section")))["Differences"]

    def campaigns(self):
        return [one for one in self.root.all("section") if one.attributes.get("class") == "campaign"]


def facts(section):
    """The rows of the table of facts, by their names."""
    table = next(section.all("table"))
    return {row.children[0].text(): row.children[1].text() for row in table.all("tr")}


def tables(section):
    """Tables by their caption: rows by their first cell, cells by the head of their column."""
    found = {}
    for table in section.all("table"):
        lines = {part: [list(row.all("th", "td")) for row in table.all(part) for row in row.all("tr")]
                 for part in ("thead", "tbody", "tfoot")}  # fmt: skip
        if not lines["thead"]:
            continue
        names = [cell.text() for cell in lines["thead"][-1]]
        if len(lines["thead"]) == 2:
            spans = [(cell.text(), int(cell.attributes.get("colspan", 1))) for cell in lines["thead"][0]]
            groups = [name for name, columns in spans for _ in range(columns)]
            names = [f"{group}: {name}" for group, name in zip(groups, names, strict=True)]
        rows = lines["tbody"] + lines["tfoot"]
        assert all(len(row) == len(names) for row in rows)
        caption = next(table.all("caption")).text()
        assert caption not in found
        found[caption] = {
            row[0].text(): dict(zip(names, [cell.text() for cell in row], strict=True)) for row in rows
        }
    return found


def no(n):
    return "no limit" if n is None else f"{n:,}"


def checks(found):
    """What the checks say, where there is something to check."""
    said = {row.get("Check", "") for rows in found.values() for row in rows.values()}
    days = found.get("Given by day and kind", {}).get("Check", {})
    said |= {text for name, text in days.items() if not name.startswith("Day")}
    return said - {"", "–"}


def says_the_state(section, state):
    """Holds a campaign's part of the page against the state of an audit that adds up, figure by figure."""
    head, found, said = state.file.campaign, tables(section), facts(section)
    digits = DIGITS[head.currency]

    def cash(minor):
        return "no limit" if minor is None else f"{Decimal(minor).scaleb(-digits):,}"

    assert next(section.all("h2")).text() == head.title.strip()
    assert said["Organiser"] == head.organiser.strip()
    assert (said["Campaign"], said["Version of the rules"]) == (head.id, state.plan.version)
    assert said["Accepted scans"] == no(state.scans)
    assert ("paused" in said["State"]) == state.paused
    says_the_pieces(found, state)
    says_the_money(found, state, cash)
    says_what_happened(found, state.tally, state)
    says_the_days(found.get("Given by day and kind", {}), state, cash)
    is_limited = any(row.put_in is not None for row in state.sheet())
    assert checks(found) == ({"adds up"} if is_limited else set())


def says_the_pieces(found, state):
    for row in state.sheet():
        line = found[f"Pieces in pool {row.pool}"][row.prize]
        told = [line["Put in"], line["Given"], line.get("Locked", "0"), line["Left"], line["Withheld"]]
        assert told == [no(n) for n in (row.put_in, row.given, row.locked, row.left, row.withheld)]
        stock = next(one.stock for one in state.plan.by_id[row.pool].prizes if one.id == row.prize)
        assert line.get("Topped up", "0") == no((row.put_in or 0) - (stock or 0))
    for pool, one in state.pools.items():
        total = found[f"Pieces in pool {pool}"]["All prizes"]
        assert total["Given"] == no(sum(one.given.values()))
        assert total["Withheld"] == no(sum(one.withheld.values()))
        if None not in one.left.values():
            assert total["Put in"] == no(sum(one.put_in.values()))
            assert total["Left"] == no(sum(one.left.values()))


def says_the_money(found, state, cash):
    currency = state.file.campaign.currency
    values = {
        (pool.id, prize.id): prize.value * prize.amount
        for pool in state.file.pool
        for prize in pool.prize
        if getattr(prize, "value", None)
    }
    by_pool = {"Cash": defaultdict(int), "Goods and coupons at their value": defaultdict(int)}
    for row in state.sheet():
        if row.kind == "cash":
            sums = (row.money_put_in, row.money_given, row.money_locked, row.money_left)
            by_pool["Cash"][row.pool] += row.money_given
        elif value := values.get((row.pool, row.prize)):
            sums = tuple(n if n is None else n * value for n in (row.put_in, row.given, row.locked, row.left))
            by_pool["Goods and coupons at their value"][row.pool] += sums[1]
        else:
            assert row.prize not in found.get(f"Money in pool {row.pool}, {currency}", {})
            continue
        line = found[f"Money in pool {row.pool}, {currency}"][row.prize]
        told = [line["Put in"], line["Given"], line.get("Locked", cash(0)), line["Left"]]
        assert told == [cash(money) for money in sums]
        assert line["Money"] == ("cash" if row.kind == "cash" else "value")
    for title, pools in by_pool.items():
        rows = found[f"{title}, {currency}"] if pools else {"All pools": {"Given": cash(0)}}
        given = {name: row["Given"] for name, row in rows.items()}
        assert given.pop("All pools") == cash(sum(pools.values()))
        assert given == {pool: cash(money) for pool, money in pools.items()}
    for name, budget in state.budgets.items():
        line = found[f"Budgets, {currency}"]["All pools together" if name == "*" else f"Pool {name}"]
        told = [line["Put in"], line["Spent"], line["Left"]]
        assert told == [cash(n) for n in (budget.put_in, budget.put_in - budget.left, budget.left)]


def says_what_happened(found, tally, state):
    wanted = {
        "Chances": {
            "Given": tally.chances_given,
            "Used": tally.chances_used,
            "Kept by members": sum(sum(wallet.chances.values()) for wallet in state.wallets.values()),
        },
        "Draws by request": {
            "Made": tally.draws,
            "For a chance": tally.chances_used,
            "Paid for": tally.paid_draws,
        },
        "Locked packets": {
            "Granted": tally.packets_granted,
            "Unlocked": tally.packets_unlocked,
            "Expired": tally.packets_expired,
            "Kept by members": sum(wallet.packet_count for wallet in state.wallets.values()),
            "Locked in pools": sum(sum(pool.locked.values()) for pool in state.pools.values()),
        },
        "Packets for friends": {
            "Opened": tally.shares_opened,
            "Friends' claims": tally.shares_claimed,
            "Givers' draws": tally.givers_drew,
        },
    }
    for caption, counts in wanted.items():
        assert (caption in found) == any(counts.values())
        if caption in found:
            told = found[caption]["Number"]
            assert {name: told[name] for name in counts} == {name: no(n) for name, n in counts.items()}


def says_the_days(rows, state, cash):
    names = {"cash": "cash", "points": "points", "coupon": "coupon", "physical": "goods",
             "chance": "chance to draw", "none": "no prize"}  # fmt: skip
    wanted = defaultdict(lambda: [0, 0, 0])
    for row in state.given.values():
        for day in (row.day, "All days"):
            sums = wanted[day, names[row.kind]]
            wanted[day, names[row.kind]] = [
                a + b for a, b in zip(sums, (row.pieces, row.money, row.units), strict=True)
            ]
    days = {day for day, _ in wanted}
    assert days == set(rows) - {"All pools", "Check"}
    for day in days:
        for kind in {name.partition(":")[0] for name in rows[day]} - {"Day"}:
            pieces, money, units = wanted[day, kind]
            values = [text for name, text in rows[day].items() if name.startswith(f"{kind}:")]
            amount = [] if kind == "no prize" else [cash(money) if kind == "cash" else no(units)]
            assert values == [no(pieces), *amount]


def is_a_page(text):
    """What holds of every page; returns it read."""
    assert text.startswith('<!DOCTYPE html>\n<html lang="en">\n')
    read = Strict(text)
    ids, refer = [], []
    for node in read.root.all(*Strict.TAGS):
        assert not {"src", "srcset", "style", "action", "xlink:href"} & node.attributes.keys()
        assert not [name for name in node.attributes if name.startswith("on")]
        assert node.attributes.get("href", "#").startswith("#")
        ids += [node.attributes[name] for name in ("id",) if name in node.attributes]
        refer += node.attributes.get("aria-labelledby", "").split()
        refer += [node.attributes["href"][1:]] if "href" in node.attributes else []
    assert len(ids) == len(set(ids))
    assert set(refer) <= set(ids)
    assert "url(" not in text
    assert "@import" not in text
    assert set(re.findall(r"\w+://[^\"\s<]*", text)) <= {"http://www.w3.org/2000/svg"}
    for picture in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        tree = ElementTree.fromstring(picture)
        assert (tree.get("role"), bool(tree.findtext(f"{SVG}title"))) == ("img", True)
        assert tree.findtext(f"{SVG}desc")
    return read
