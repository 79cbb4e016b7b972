# SPDX-License-Identifier: Apache-2.0
"""Reads orders (JSON) on stdin, loads them into SQLite, and prints a report.

Uses what real programs use: json, sqlite3, zlib, subprocess, threads, tempfile, hashlib. Ends with the
number of customers as exit status, so that the caller can check that too.
"""
import hashlib
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import zlib


def load(orders, path):
    db = sqlite3.connect(path)
    db.execute("create table orders (customer text, item text, quantity int, price_cents int)")
    db.executemany("insert into orders values (:customer, :item, :quantity, :price_cents)", orders)
    db.commit()
    return db


def totals(db):
    return db.execute(
        "select customer, sum(quantity * price_cents) from orders group by customer order by customer"
    ).fetchall()


def checksums(texts):
    results = [None] * len(texts)

    def work(i):
        results[i] = hashlib.sha256(texts[i].encode()).hexdigest()[:16]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(texts))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return results


def upper_by_subprocess(text):
    child = subprocess.run([sys.executable, "-S", "-c", "import sys; print(sys.stdin.read().upper(), end='')"],
                           input=text, capture_output=True, text=True, check=True)
    return child.stdout


def main():
    raw = sys.stdin.buffer.read()
    orders = json.loads(raw)
    with tempfile.TemporaryDirectory() as folder:
        db = load(orders, os.path.join(folder, "orders.db"))
        rows = totals(db)
        packed = zlib.compress(raw, 9)
        assert zlib.decompress(packed) == raw
        print(f"orders {len(orders)}, bytes {len(raw)}, compresses {len(packed) < len(raw)}")
        for (customer, cents), digest in zip(rows, checksums([r[0] for r in rows])):
            print(f"{customer:<8} {cents / 100:>10.2f} {digest}")
        print(upper_by_subprocess("done by a subprocess"))
    return len(rows)


sys.exit(main())
