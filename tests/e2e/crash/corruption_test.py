"""Damaged files never yield a wrong secret (promise 11).

Rows of the store are flipped, zeroed, cut, swapped and replaced by older ones, and bytes of the file
are flipped, zeroed and cut off anywhere. The server must never give out a key that belongs to another
credential or never was one, keep disabled what was disabled, set the bad rows aside, keep a damaged
file and serve the rest; it refuses, in words, only a file of which nothing can be served.
"""
import collections
import glob
import os
import random
import shutil
import sqlite3
import time

import server_process as sp
from cases import SIZE, Cases, sized

ROW_STARTS = sized(12, 200, 1000)   # with ROWS_EACH damaged rows each
FILE_STARTS = sized(8, 200, 1000)   # with one damaged place of the file each
ROWS_EACH = 4
FLEET = 40
PAGE = 4096
INDEX_LEAF = 0x0a
DOCUMENT, SECRET, INTENT, HEALTH = 2, 3, 4, 5

cases = Cases()
seed = int(time.time())
chance = random.Random(seed)
print(f"seed {seed}")


def make_store():
    """A cleanly stopped server: FLEET credentials, every fourth disabled, every fifth given a second
    key. Also a copy of the rows of before, which an attacker may put back."""
    server = sp.Server("corrupt")
    cases.check(server.start(), "the server starts")
    for n in range(FLEET):
        server.create(f"c{n:02}", f"first-{n}", note="n" * 200)
    for n in range(3, FLEET, 4):
        server.admin.Disable(sp.admin.DisableRequest(id=f"c{n:02}"), timeout=10)
    cases.check(server.stop() == 0, "it stops")
    older = dict(rows(server.store))
    cases.check(server.start(), "it starts again")
    keys = {f"c{n:02}": f"first-{n}" for n in range(FLEET)}
    for n in range(0, FLEET, 5):
        keys[f"c{n:02}"] = f"second-{n}"
        server.admin.UpdateCredential(sp.admin.UpdateCredentialRequest(
            credential=dict(id=f"c{n:02}"), secret=dict(api_key=f"second-{n}".encode())),
            timeout=10)
    cases.check(server.stop() == 0, "it stops again")
    shutil.copy(server.store, server.store + ".sound")
    return server, keys, older


def rows(path):
    db = sqlite3.connect(path)
    found = db.execute("SELECT kind, key, value FROM rows").fetchall()
    db.close()
    return [((kind, bytes(key)), bytes(value)) for kind, key, value in found]


def damage_rows(path, older):
    """Damages ROWS_EACH rows: [(how, kind, credential)]."""
    db = sqlite3.connect(path)
    present = {(k, bytes(key)): bytes(v) for k, key, v in db.execute(
        "SELECT kind, key, value FROM rows")}
    done, untouched = [], set(present)
    for _ in range(ROWS_EACH):
        kind = chance.choice([DOCUMENT, SECRET, SECRET, SECRET, INTENT, HEALTH])
        names = sorted(name for name in untouched if name[0] == kind)
        if len(names) < 2:
            continue
        name, other = chance.sample(names, 2)
        untouched.discard(name)
        value = bytearray(present[name])
        how = chance.choice(["flip", "zero", "cut", "swap", "older", "copy", "empty", "longer"])
        at = chance.randrange(len(value))
        if how == "flip":
            value[at] ^= 1 << chance.randrange(8)
        elif how == "zero":
            value[at:at + 16] = bytes(len(value[at:at + 16]))
        elif how == "cut":
            del value[at:]
        elif how == "empty":
            value = bytearray()
        elif how == "longer":
            value += bytes(7)
        elif how == "older":
            value = bytearray(older.get(name, value))
        else:
            if how == "swap":
                untouched.discard(other)
                db.execute("UPDATE rows SET value = ? WHERE kind = ? AND key = ?",
                           (bytes(value), *other))
                done.append((how, kind, other[1].decode()))
            value = bytearray(present[other])
        if bytes(value) == present[name]:
            continue
        db.execute("UPDATE rows SET value = ? WHERE kind = ? AND key = ?", (bytes(value), *name))
        done.append((how, kind, name[1].decode()))
    db.commit()
    db.close()
    return done


def served(server, keys):
    """What the running server gives out: (ids granted, complaints)."""
    wrong, right, found = [], set(), server.list_all()
    for cred in found:
        if cred not in keys:
            wrong.append(f"unknown credential {cred}")
            continue
        try:
            key = sp.key_of(server.pin(cred))
        except sp.grpc.RpcError as error:
            if error.code() not in (sp.grpc.StatusCode.FAILED_PRECONDITION,
                                    sp.grpc.StatusCode.RESOURCE_EXHAUSTED,
                                    sp.grpc.StatusCode.NOT_FOUND):
                wrong.append(f"{cred}: {error.code()} {error.details()}")
            continue
        if int(cred[1:]) % 4 == 3:
            wrong.append(f"{cred} is disabled and was granted")
        if key != keys[cred]:
            wrong.append(f"{cred} has the key {key}, not {keys[cred]}")
        right.add(cred)
    return right, wrong


def row_trial(number, server, keys, older):
    done = damage_rows(server.store, older)
    if not server.start():
        cases.check(False, f"rows {number} {done}: the server starts", server.log()[-600:])
        return 0
    right, wrong = served(server, keys)
    hurt = {cred for _, _, cred in done}
    for cred in keys:
        if cred not in hurt and int(cred[1:]) % 4 != 3 and cred not in right:
            wrong.append(f"{cred} is sound and not served")
    # An older document is a valid one, if nothing else tells.
    for how, kind, cred in done:
        if kind in (SECRET, DOCUMENT) and cred in right and how != "older":
            wrong.append(f"{cred} is served although its row was damaged ({how})")
    broken = sum(1 for how, _, _ in done if how != "older")
    aside = server.metric("credbroker_store_quarantined_rows")
    if broken and (aside < broken or "set aside: " not in server.log()):
        wrong.append(f"{broken} rows damaged, {aside} set aside")
    status, body = server.http_get("/readyz")
    if status != 200:
        wrong.append(f"not ready: {body}")
    code = server.stop()
    if code != 0:
        wrong.append(f"exit code {code}")
    cases.check(not wrong, f"rows {number}: {len(right)} right keys, {aside:.0f} rows aside, "
                f"damage {done}", "; ".join(wrong[:6]))
    for how, _, _ in done:
        counts[how] += 1
    return len(done)


def damage_file(server):
    """Damages one place of the file: (what, how, the bytes of it that were lost)."""
    size = os.path.getsize(server.store)
    at = chance.randrange(size)
    how = chance.choice(["flip", "zero", "page", "truncate"])
    with open(server.store, "r+b") as file:
        if how == "truncate":
            file.truncate(at)
            lost = range(at, size)
        else:
            at = at // PAGE * PAGE if how == "page" else at
            file.seek(at)
            old = file.read({"flip": 1, "zero": 64, "page": PAGE}[how])
            file.seek(at)
            file.write(bytes([old[0] ^ (1 << chance.randrange(8))]) if how == "flip"
                       else bytes(len(old)))
            lost = range(at, at + len(old))
    return f"{how} at {lost.start} of {size}", how, lost


def expected(sound, places, lost):
    """The credentials that must be served: all of whose rows lie outside the pages that lost a byte.
    A row named by a damaged entry of the index only may be lost too."""
    pages = range(lost.start // PAGE, (lost.stop - 1) // PAGE + 1)
    hurt = set()
    for (_, cred), (start, stop) in places.items():
        if any(start // PAGE <= page <= (stop - 1) // PAGE for page in pages):
            hurt.add(cred)
    for page in pages:
        if sound[page * PAGE] == INDEX_LEAF:
            near = sound[max(page * PAGE, lost.start - 64):min((page + 1) * PAGE, lost.stop + 64)]
            hurt |= {f"c{n:02}" for n in range(FLEET) if f"c{n:02}".encode() in near}
    return {f"c{n:02}" for n in range(FLEET) if n % 4 != 3} - hurt


def file_trial(number, server, keys, sound, places):
    what, how, lost = damage_file(server)
    what = f"file {number}: {what}"
    wanted = expected(sound, places, lost)
    if how != "truncate" and len(lost) < PAGE and lost.start < 64 <= lost.stop + 3:
        wanted = set()  # the schema's number: it may be a newer version's
    if not server.start():
        # Refused in words, not by a crash, and only if there is nothing to serve.
        refused = server.process.returncode in (1, 2) and "credbroker: " in server.log()
        cases.check(refused and not wanted, what + ": refused",
                    f"{len(wanted)} could be served; exit {server.process.returncode} "
                    f"{server.log()[-300:]}")
        counts["file refused"] += 1
        return
    status, _ = server.http_get("/readyz")
    if status != 200:
        # The rows that say which key sealed them are gone, or no row is left that opens.
        cases.check("sealed" in server.log() and not wanted, what + ": not ready, and says why",
                    f"{len(wanted)} could be served; {server.log()[-300:]}")
        counts["file sealed"] += 1
        server.kill()
        return
    right, wrong = served(server, keys)
    wrong += [f"{cred} is whole and not served" for cred in sorted(wanted - right)]
    kept = glob.glob(server.store + ".damaged-*")
    if kept:
        counts["salvaged"] += 1
        if "the store was damaged: " not in server.log() or kept[0] not in server.log():
            wrong.append("the log does not say where the damaged file is")
        if server.stats().store.damaged_file != os.path.basename(kept[0]):
            wrong.append(f"GetStats names {server.stats().store.damaged_file}")
    elif how in ("truncate", "page"):
        counts[f"{how} unnoticed"] += 1
    counts[f"file {how}"] += 1
    code = server.stop()
    if code != 0:
        wrong.append(f"exit code {code}")
    cases.check(not wrong, what + f": {len(right)} right keys of {len(wanted)} at least",
                "; ".join(wrong[:6]))


def places_of(path):
    """(kind, credential) -> where in the file the row's bytes are; values here fit into a page."""
    with open(path, "rb") as file:
        sound = file.read()
    places = {}
    for (kind, key), value in rows(path):
        at = sound.find(value)
        if kind in (DOCUMENT, SECRET, INTENT) and at >= 0:
            places[kind, key.decode()] = (at, at + len(value))
    return sound, places


def sound_again(server):
    for path in [server.store + "-wal", server.store + "-shm", *glob.glob(server.store + ".dam*")]:
        if os.path.exists(path):
            os.unlink(path)
    shutil.copy(server.store + ".sound", server.store)


counts = collections.Counter()
broker, all_keys, before = make_store()
damaged = 0
for trial in range(ROW_STARTS):
    sound_again(broker)
    damaged += row_trial(trial, broker, all_keys, before)
sound_bytes, row_places = places_of(broker.store + ".sound")
cases.check(len(row_places) >= 2 * FLEET, f"{len(row_places)} rows are found in the file")
for trial in range(FILE_STARTS):
    sound_again(broker)
    file_trial(trial, broker, all_keys, sound_bytes, row_places)
sound_again(broker)
cases.check(broker.start(), "the sound store starts")
served_keys, complaints = served(broker, all_keys)
cases.check(not complaints and len(served_keys) == FLEET * 3 // 4, "and serves every enabled one",
            "; ".join(complaints[:3]))
print(f"{damaged} damaged rows, {FILE_STARTS} damaged places of the file: {dict(counts)}")
broker.kill()
cases.finish()
