"""iPXE and gPXE as a server must know them: what a build can do, and how their script text is written.

Features are the flags of option 175 (iPXE src/include/ipxe/features.h).
"""

from enum import IntEnum

from netboot.quoting import ipxe_message, ipxe_word, ipxe_words


class Feature(IntEnum):
    """Sub-options of option 175 that a client sets for what its build contains."""

    PXE_EXTENSIONS = 0x10
    ISCSI = 0x11
    AOE = 0x12
    HTTP = 0x13
    HTTPS = 0x14
    TFTP = 0x15
    FTP = 0x16
    DNS = 0x17
    BZIMAGE = 0x18
    MULTIBOOT = 0x19
    SLAM = 0x1A
    SRP = 0x1B
    NBI = 0x20
    PXE = 0x21
    ELF = 0x22
    COMBOOT = 0x23
    EFI = 0x24
    FCOE = 0x25
    VLAN = 0x26
    MENU = 0x27
    SDI = 0x28
    NFS = 0x29


FEATURE_CODES = range(0x10, 0x50)  # named above or not: what stands here is a flag, not a setting

# Commands that iPXE's default configuration for pcbios leaves out (src/config/general.h): a
# script for arch 0 must do without, unless the operator builds his own loader.
PCBIOS_LACKS = frozenset(
    (
        *("params", "param", "console", "md5sum", "sha1sum", "ntp", "pciscan"),
        *("vcreate", "vdestroy", "certstat", "certstore", "certfree"),
    )
)


# The quoting filters for script text; netboot.quoting says what they refuse and why.
quote = ipxe_word
quote_words = ipxe_words
message = ipxe_message
