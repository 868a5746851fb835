"""What our programs made from GRUB depend on: those of an older bootd are told by it, and made anew."""

import hashlib

from bootd.imagebuild import efilocal, slotboot, slotcore


def version() -> str:
    """Return a digest of configurations and modules; GRUB's own version is not in it."""
    texts = [
        efilocal.config(),
        slotboot.pc_config("hd0", 5),
        slotboot.efi_config("hd0", 5),
        slotboot.menu_config(),
    ]
    modules = [*efilocal.MODULES, *slotboot.PC_MODULES, *slotboot.EFI_MODULES, *slotcore.MODULES]
    return hashlib.sha256("\n".join([*texts, *modules]).encode()).hexdigest()
