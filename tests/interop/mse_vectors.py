#!/usr/bin/env python3
"""Writes tests/data/mse.txt: handshakes of MSE byte by byte, both sides, with all that is chosen by
chance in them. Written from a description of the protocol, and from no client's code; it shares
nothing with ours, so that both cannot have the same mistake by descent. Run it by hand."""
import hashlib
import random

P = int("FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DD"
        "EF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A63A36210000000000090563", 16)


def number(value):
    return value.to_bytes(96, "big")


def digest(*parts):
    return hashlib.sha1(b"".join(parts)).digest()


def xor(one, other):
    return bytes(a ^ b for a, b in zip(one, other))


def keystream(key):
    box = list(range(256))
    swap = 0
    for at in range(256):
        swap = (swap + box[at] + key[at % len(key)]) % 256
        box[at], box[swap] = box[swap], box[at]
    at = swap = 0
    while True:
        at = (at + 1) % 256
        swap = (swap + box[at]) % 256
        box[at], box[swap] = box[swap], box[at]
        yield box[(box[at] + box[swap]) % 256]


class Cipher:
    def __init__(self, name, secret, skey):
        self.stream = keystream(digest(name, secret, skey))
        for _ in range(1024):
            next(self.stream)

    def __call__(self, data):
        return bytes(byte ^ next(self.stream) for byte in data)


def handshake(chance, pads, provide, select, initial_len, payload_len):
    """All of one connection: what each side has by chance, what it says in turn, and a payload
    each way behind it."""
    private_a, private_b = chance.randbytes(20), chance.randbytes(20)
    skey = chance.randbytes(20)
    initial = (b"\x13BitTorrent protocol" + bytes(8) + skey + chance.randbytes(20))[:initial_len]
    pad_a, pad_b, pad_c, pad_d = (chance.randbytes(length) for length in pads)
    key_a = number(pow(2, int.from_bytes(private_a, "big"), P))
    key_b = number(pow(2, int.from_bytes(private_b, "big"), P))
    secret = number(pow(int.from_bytes(key_b, "big"), int.from_bytes(private_a, "big"), P))
    assert secret == number(pow(int.from_bytes(key_a, "big"), int.from_bytes(private_b, "big"), P))
    a_to_b, b_to_a = Cipher(b"keyA", secret, skey), Cipher(b"keyB", secret, skey)
    offer = bytes(8) + provide.to_bytes(4, "big") + len(pad_c).to_bytes(2, "big") + pad_c
    offer += len(initial).to_bytes(2, "big") + initial
    choice = bytes(8) + select.to_bytes(4, "big") + len(pad_d).to_bytes(2, "big") + pad_d
    second_a = digest(b"req1", secret) + xor(digest(b"req2", skey), digest(b"req3", secret))
    second_a += a_to_b(offer)
    second_b = b_to_a(choice)
    payload_a, payload_b = chance.randbytes(payload_len), chance.randbytes(payload_len)
    wire_a, wire_b = (payload_a, payload_b)
    if select == 2:
        wire_a, wire_b = a_to_b(payload_a), b_to_a(payload_b)
    return {
        "private_a": private_a, "private_b": private_b, "skey": skey, "secret": secret,
        "pad_a": pad_a, "pad_b": pad_b, "initial": initial,
        "provide": provide.to_bytes(4, "big"), "select": select.to_bytes(4, "big"),
        "first_a": key_a + pad_a, "first_b": key_b + pad_b,
        "second_a": second_a, "second_b": second_b,
        "payload_a": payload_a, "payload_b": payload_b, "wire_a": wire_a, "wire_b": wire_b,
    }


def main():
    chance = random.Random(18)
    cases = [
        ((0, 0, 0, 0), 3, 1, 68),
        ((17, 31, 0, 0), 3, 1, 68),
        ((11, 0, 0, 0), 2, 2, 68),
        ((100, 3, 23, 60), 3, 2, 0),
        ((40, 50, 5, 0), 3, 2, 48),
    ]
    with open("tests/data/mse.txt", "w", encoding="ascii") as out:
        out.write("# Made by tests/interop/mse_vectors.py\n")
        for case, (pads, provide, select, initial_len) in enumerate(cases):
            fields = handshake(chance, pads, provide, select, initial_len, 30)
            for name, value in fields.items():
                out.write(f"{case} {name} {value.hex()}\n")


if __name__ == "__main__":
    main()
