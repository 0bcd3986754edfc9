"""A slot told again in plain Python, one user after another, to compare with."""

import math

STEPS, BITS, LATE = 11, 131_072, 10.0
DEVICE_CYCLES, SERVER_CYCLES, SERVER_HZ, PROCESSORS, KAPPA = 50 * 14e6, 50 * 15e6, 3e9, 2, 1e-27
NOISE_W_PER_HZ = 10 ** (-174 / 10) / 1000


def slot(shared, power, bandwidth, group, gain, frequency, left):
    """Delay, device energy, late and lost of each user, and the server's for each; one session."""
    users = range(len(shared))
    last = {g: max(shared[u] for u in users if group[u] == g) for g in set(group)}

    def ready(k):
        seconds = 0.0
        for step in range(k):
            going = sum(1 for g in last if last[g] > step)
            seconds += SERVER_CYCLES / SERVER_HZ * max(1.0, going / PROCESSORS)
        return seconds

    step_j = KAPPA * SERVER_CYCLES * SERVER_HZ**2
    delays, energies, lates, losts, rates, server = [], [], [], [], [], []
    for u in users:
        k, sent_s, rate = shared[u], 0.0, 0.0
        joules = 0.0
        for step in range(k):  # whoever a step serves pays an equal part
            joules += step_j / sum(1 for v in users if group[v] == group[u] and shared[v] > step)
        late = False
        if k:
            snr = power[u] * gain[u] / (NOISE_W_PER_HZ * bandwidth[u]) if bandwidth[u] and power[u] else 0.0
            speed = bandwidth[u] * math.log2(1 + snr)
            sent_s = BITS / speed if speed else math.inf
            rate = 0.5 * math.erfc(math.sqrt(snr / 2))
            late = sent_s > LATE
            joules += power[u] * min(sent_s, LATE)
        local = STEPS if late else STEPS - k
        needed = local * KAPPA * DEVICE_CYCLES * frequency[u] ** 2
        delays.append((ready(k) + min(sent_s, LATE) if k else 0.0) + local * DEVICE_CYCLES / frequency[u])
        energies.append(min(needed, left[u]))
        lates.append(late)
        server.append(joules)
        losts.append(needed > left[u])
        rates.append(rate)
    return delays, energies, lates, losts, rates, server
