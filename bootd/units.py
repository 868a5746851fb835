"""Amounts as people read them."""


def size_text(octets: int) -> str:
    """Return *octets* in the unit that keeps it short, in powers of ten as networks and disks count."""
    if octets < 1000:
        return f"{octets} B"
    for unit, size in (("kB", 10**3), ("MB", 10**6)):
        if octets < 999_950 * size // 1000:
            return f"{octets / size:.1f} {unit}"
    return f"{octets / 10**9:.1f} GB"
