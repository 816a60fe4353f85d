"""What disks, networks and people do to bytes."""

WORDS = (0, 1, 2, 3, 7, 8, 63, 64, 65, 127, 128, 255, 256, 0x7FFF, 0x8000, 0xFFFF, 2**24, 2**31 - 1, 2**31, 2**32 - 1)


def damage(rng, content):
    """The content with one to three things wrong somewhere: bits, bytes, numbers, parts cut out, doubled or swapped."""
    content = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        at = rng.randrange(len(content) + 1)
        match rng.randrange(8):
            case 0 | 1 if at < len(content):
                content[at] ^= 1 << rng.randrange(8)
            case 2:
                size = rng.choice((1, 2, 4, 8, 100))
                content[at:at + size] = rng.randbytes(len(content[at:at + size]))
            case 3:
                size = rng.choice((1, 2, 4, 8))
                number = (rng.choice(WORDS) + rng.choice((0, 0, -1, 1))) % 256**size
                content[at:at + size] = number.to_bytes(size, "little")[:len(content[at:at + size])]
            case 4:
                del content[at:at + rng.choice((1, 2, 8, 100, len(content)))]
            case 5:
                content[at:at] = rng.choice((bytes(8), rng.randbytes(5), bytes(content[at:at + 30])))
            case 6:
                size = rng.choice((1, 4, 30))
                to = rng.randrange(len(content) + 1)
                content[at:at + size], content[to:to + size] = content[to:to + size], content[at:at + size]
            case _:
                content += rng.randbytes(rng.randrange(30))
        if not content:
            break
    return bytes(content)
