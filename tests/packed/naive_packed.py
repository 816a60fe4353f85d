"""Networks on bits as scalar loops on whole numbers, from the papers' sentences; imports nothing of bnn_ref."""


def coded(pixels, coding):
    """The inputs that a coding makes of one picture's pixels (0 to 255), a list over [0, 1] or ±1, as fractions of 256.

    pixels: C lists of numbers. Returns whole numbers, 256 times the inputs, channel by channel.
    """
    flat = [p for channel in pixels for p in channel]
    if coding == "pixels":
        return [2 * p - 255 for p in flat]
    if coding == "unit":
        return list(flat)
    if coding == "sign":
        return [256 if p > 127 else -256 for p in flat]
    if coding == "rounded":
        return [256 if p > 127 else 0 for p in flat]
    high = [256 if p > 127 else -256 for p in flat]
    low = [256 if p % 128 > 63 else -256 for p in flat]
    return high + low


def product(inputs, weights):
    """Σ x w for weights of -1, 0 and +1, by adding, subtracting and skipping; one list of weights a unit."""
    totals = []
    for unit in weights:
        total = 0
        for x, w in zip(inputs, unit):
            if w == 1:
                total = total + x
            if w == -1:
                total = total - x
        totals.append(total)
    return totals


def signs(totals):
    return [1 if total >= 0 else -1 for total in totals]
